/**
 * Moments of batch-norm channels: (count, mean, M2), M2 being the sum of squared deviations from the mean.
 * Merged in float64 by the parallel-variance formula (Chan, Golub & LeVeque 1979), so between-shard
 * differences of the mean count, and uneven or empty shards are exact.
 */

/** Moments of many channels that share one count. */
export interface Moments {
  /** Elements behind each channel: images x height x width. */
  readonly count: number;
  /** `[channels][2]`: mean and M2. */
  readonly values: Float64Array;
}

/** Moments of the union of two disjoint sets of elements. */
export function mergeMoments(a: Moments, b: Moments): Moments {
  if (b.count === 0) return a;
  if (a.count === 0) return b;
  const count = a.count + b.count;
  const values = new Float64Array(a.values.length);
  for (let i = 0; i < values.length; i += 2) {
    const meanA = a.values[i] as number;
    const delta = (b.values[i] as number) - meanA;
    values[i] = meanA + delta * (b.count / count);
    const between = delta * delta * ((a.count * b.count) / count);
    values[i + 1] = (a.values[i + 1] as number) + (b.values[i + 1] as number) + between;
  }
  return { count, values };
}

/**
 * Moves running statistics towards a batch: r += momentum * (batch - r). The variance is the unbiased one,
 * M2 / (count - 1), as in PyTorch; a single element leaves the variance alone. Rounded once to float32.
 *
 * @param mean, variance float32 `[channels]`, updated in place
 */
export function updateRunning(
  mean: Float32Array,
  variance: Float32Array,
  batch: Moments,
  momentum: number,
): void {
  for (let c = 0; c < mean.length; c++) {
    const oldMean = mean[c] as number;
    mean[c] = oldMean + momentum * ((batch.values[2 * c] as number) - oldMean);
    if (batch.count < 2) continue;
    const oldVariance = variance[c] as number;
    const unbiased = (batch.values[2 * c + 1] as number) / (batch.count - 1);
    variance[c] = oldVariance + momentum * (unbiased - oldVariance);
  }
}
