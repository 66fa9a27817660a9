/** Comparing numbers: fails on any NaN or infinity, and says where and by how much. */

export interface Comparison {
  readonly ok: boolean;
  readonly message: string;
  /** Largest |actual - expected| divided by the root mean square of the expected values (or `floor`). */
  readonly worst: number;
}

/**
 * Compares two arrays by the largest absolute difference relative to the root mean square of the
 * expected values: the measure in which rounding errors of sums are bounded; a per-element relative
 * error is unbounded near zero.
 *
 * @param floor smallest scale to divide by, for arrays that are all but zero
 */
export function compareArrays(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  floor = 1e-30,
): Comparison {
  if (actual.length !== expected.length) {
    return { ok: false, message: `length ${actual.length}, expected ${expected.length}`, worst: Infinity };
  }
  let squares = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i] as number;
    const e = expected[i] as number;
    if (!Number.isFinite(a) || !Number.isFinite(e)) {
      return { ok: false, message: `not finite at ${i}: ${a}, expected ${e}`, worst: Infinity };
    }
    squares += e * e;
  }
  const scale = Math.max(Math.sqrt(squares / Math.max(1, expected.length)), floor);
  let worst = 0;
  let at = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] as number) - (expected[i] as number)) / scale;
    if (difference > worst) {
      worst = difference;
      at = i;
    }
  }
  const message = `largest difference ${worst.toExponential(2)} of the RMS ${scale.toExponential(2)} at ${at}: ${actual[at]}, expected ${expected[at]} (tolerance ${tolerance})`;
  return { ok: worst <= tolerance, message, worst };
}
