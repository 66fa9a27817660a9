/**
 * Moments of batch-norm channels: (count, mean, M2), M2 being the sum of squared deviations from the mean.
 * Merged in float64 by the parallel-variance formula (Chan, Golub & LeVeque 1979), so between-shard
 * differences of the mean count, and uneven or empty shards are exact.
 */
import type { Layout } from '../model/layout.ts';

/** Moments of many channels that share one count. */
export interface Moments {
  /** Elements behind each channel: images x height x width. */
  readonly count: number;
  /** `[channels][2]`: mean and M2. */
  readonly values: Float64Array;
}

/** Moments of all batch-norm channels over samples: a layer's count is that times the pixels of its input. */
export interface ShardMoments {
  readonly samples: number;
  /** `[batchNormChannels][2]`: mean and M2. */
  readonly values: Float64Array;
}

/** Moments of the union of two disjoint sets of elements. */
export function mergeMoments(a: Moments, b: Moments): Moments {
  if (b.count === 0) return a;
  if (a.count === 0) return b;
  const values = new Float64Array(a.values.length);
  mergeRange(values, a.values, b.values, a.count, b.count, 0, values.length);
  return { count: a.count + b.count, values };
}

/** The same for all layers in one go, which is 57 small vectors less for three merges of ResNet-20. */
export function mergeShardMoments(
  a: ShardMoments,
  b: ShardMoments,
  layers: Layout['batchNorms'],
): ShardMoments {
  if (b.samples === 0) return a;
  if (a.samples === 0) return b;
  const values = new Float64Array(a.values.length);
  for (const { channel, channels, pixels } of layers) {
    const [from, to] = [2 * channel, 2 * (channel + channels)];
    mergeRange(values, a.values, b.values, pixels * a.samples, pixels * b.samples, from, to);
  }
  return { samples: a.samples + b.samples, values };
}

function mergeRange(
  into: Float64Array,
  a: Float64Array,
  b: Float64Array,
  countA: number,
  countB: number,
  from: number,
  to: number,
): void {
  const count = countA + countB;
  const share = countB / count;
  const weight = (countA * countB) / count;
  for (let i = from; i < to; i += 2) {
    const meanA = a[i] as number;
    const delta = (b[i] as number) - meanA;
    into[i] = meanA + delta * share;
    into[i + 1] = (a[i + 1] as number) + (b[i + 1] as number) + delta * delta * weight;
  }
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
