/** Confusion matrix, and what follows from it for each class. */

/** Counts `[true class][predicted class]`. */
export function confusionMatrix(labels: Uint8Array, predictions: Uint8Array, classes: number): number[][] {
  const matrix = Array.from({ length: classes }, () => Array.from({ length: classes }, () => 0));
  labels.forEach((label, i) => {
    const row = matrix[label];
    const predicted = predictions[i] as number;
    if (row) row[predicted] = (row[predicted] ?? 0) + 1;
  });
  return matrix;
}

export interface ClassFigures {
  readonly name: string;
  /** Of the samples predicted as this class, the share that are; null when none was predicted. */
  readonly precision: number | null;
  /** Of the samples of this class, the share that was found; null when there is none. */
  readonly recall: number | null;
  /** Harmonic mean of the two; null when one of them is. */
  readonly f1: number | null;
  /** Samples of this class. */
  readonly support: number;
}

/** Precision, recall and F1 of each class. */
export function classFigures(
  matrix: readonly (readonly number[])[],
  names: readonly string[],
): ClassFigures[] {
  return names.map((name, k) => {
    const hits = matrix[k]?.[k] ?? 0;
    const support = (matrix[k] ?? []).reduce((a, b) => a + b, 0);
    const predicted = matrix.reduce((sum, row) => sum + (row[k] ?? 0), 0);
    const precision = predicted === 0 ? null : hits / predicted;
    const recall = support === 0 ? null : hits / support;
    const f1 = precision === null || recall === null ? null : (2 * hits) / (predicted + support);
    return { name, precision, recall, f1, support };
  });
}
