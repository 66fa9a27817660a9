/** The report of `lockstep evaluate` as tables. Pure. */

import Table from 'cli-table3';
import { asDuration, asLoss, inPercent, inThousands } from './format.ts';

/** What is shown of a report; a figure is null where it is undefined (a class never predicted has no precision). */
export interface EvaluationFigures {
  readonly checkpoint: string;
  readonly dataset: string;
  readonly samples: number;
  readonly loss: number;
  readonly accuracy: number;
  /** `[true class][predicted class]`. */
  readonly confusion: readonly (readonly number[])[];
  readonly classes: readonly ClassFigures[];
  readonly weightsSha256: string;
  readonly seconds: number;
}

export interface ClassFigures {
  readonly name: string;
  readonly precision: number | null;
  readonly recall: number | null;
  readonly f1: number | null;
  /** Samples of this class. */
  readonly support: number;
}

export interface Confusion {
  readonly truth: string;
  readonly predicted: string;
  readonly count: number;
}

const plain = { style: { head: [], border: [], compact: true } };

/** Everything: the headline, the figures of each class, and the matrix where it fits into `columns`. */
export function evaluationText(report: EvaluationFigures, columns: number): string {
  const matrix = [10, 6, 4]
    .map((letters) => confusionTable(report, letters))
    .find((table) => fits(table, columns));
  return [
    `${inPercent(report.accuracy)} of ${inThousands(report.samples)} test images of ${report.dataset} right, ` +
      `loss ${asLoss(report.loss)}, in ${asDuration(report.seconds)}`,
    `checkpoint ${report.checkpoint}`,
    `weights SHA-256 ${report.weightsSha256}`,
    classTable(report.classes),
    matrix ?? confusionList(report),
  ].join('\n');
}

function classTable(classes: readonly ClassFigures[]): string {
  const table = new Table({
    ...plain,
    head: ['class', 'precision', 'recall', 'F1', 'images'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
  });
  for (const { name, precision, recall, f1, support } of classes) {
    table.push([name, inPercent(precision), inPercent(recall), inPercent(f1), inThousands(support)]);
  }
  return table.toString();
}

function fits(text: string, columns: number): boolean {
  return text.split('\n').every((line) => line.length < columns);
}

/** @param letters how many of each class name are shown above its column */
function confusionTable({ classes, confusion }: EvaluationFigures, letters: number): string {
  const names = classes.map(({ name }) => name.slice(0, letters));
  const table = new Table({
    style: { ...plain.style, 'padding-right': 0 },
    head: ['true \\ pred.', ...names],
    colAligns: ['left', ...names.map(() => 'right' as const)],
  });
  for (const [index, row] of confusion.entries()) {
    table.push([
      classes[index]?.name.slice(0, 11) ?? '',
      ...row.map((count) => (count === 0 ? '·' : String(count))),
    ]);
  }
  return table.toString();
}

/** The most frequent mistakes, the worst first. */
export function worstConfusions({ classes, confusion }: EvaluationFigures, most: number): Confusion[] {
  const nameOf = (index: number) => classes[index]?.name ?? String(index);
  return confusion
    .flatMap((row, truth) =>
      row
        .map((count, predicted) => ({ truth, predicted, count }))
        .filter((cell) => cell.truth !== cell.predicted),
    )
    .filter(({ count }) => count > 0)
    .toSorted((a, b) => b.count - a.count)
    .slice(0, most)
    .map(({ truth, predicted, count }) => ({ truth: nameOf(truth), predicted: nameOf(predicted), count }));
}

function confusionList(report: EvaluationFigures): string {
  const table = new Table({ ...plain, head: ['most frequent mistakes: true', 'predicted', 'images'] });
  for (const { truth, predicted, count } of worstConfusions(report, 15))
    table.push([truth, predicted, count]);
  return table.toString();
}
