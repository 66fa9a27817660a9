/** Batch-norm, forward (Ioffe & Szegedy 2015). Moments and sums are float64 `[C][2]`. */
import { channelStride, defineKernel } from './kernel.ts';
import { floatsOf, reader, rectified, writeTensor } from './reference-tensor.ts';

/**
 * Rows of the table `coefficients` f32 `[6][channelStride(C)]`; the last two are scratch of
 * `batchNormBackwardApply`.
 */
export const coefficientRows = 4;

/** Index, in float64 places of a reference memory, of number `which` of channel c's pair. */
export function pairIndex(address: number, c: number, which: 0 | 1): number {
  return address / 4 + 4 * c + 2 * which;
}

function writeCoefficients(
  values: Float64Array,
  a: Readonly<{ gamma: number; beta: number; epsilon: number; C: number; coefficients: number }>,
  statistics: (c: number) => { mean: number; variance: number },
): void {
  const stride = channelStride(a.C);
  const at = a.coefficients / 4;
  values.fill(0, at, at + coefficientRows * stride);
  for (let c = 0; c < a.C; c++) {
    const { mean, variance } = statistics(c);
    const invStd = 1 / Math.sqrt(variance + a.epsilon);
    const scale = values[a.gamma / 4 + c] * invStd;
    values[at + c] = scale;
    values[at + stride + c] = values[a.beta / 4 + c] - mean * scale;
    values[at + 2 * stride + c] = mean;
    values[at + 3 * stride + c] = invStd;
  }
}

export const batchNormKernels = {
  /**
   * moments = (mean, sum of squared deviations) of z `[total][S]`, gathered in calls over pixels `from` ..
   * `from + pixels` in order, of which the one that ends at `total` finishes. No pixels give (0, 0).
   */
  batchNormMoments: defineKernel({
    parameters: ['z', 'from', 'pixels', 'total', 'C', 'moments'],
    group: 'batch-norm',
    flops: (a) => 4 * a.pixels * a.C,
    bytes: (a) => 4 * a.pixels * channelStride(a.C) + 16 * a.C,
    reference: ({ values }, a) => {
      const stride = channelStride(a.C);
      if (a.from + a.pixels < a.total) return;
      for (let c = 0; c < a.C; c++) {
        let sum = 0;
        for (let p = 0; p < a.total; p++) sum += values[a.z / 4 + p * stride + c];
        const mean = a.total === 0 ? 0 : sum / a.total;
        let squares = 0;
        for (let p = 0; p < a.total; p++) squares += (values[a.z / 4 + p * stride + c] - mean) ** 2;
        values[pairIndex(a.moments, c, 0)] = mean;
        values[pairIndex(a.moments, c, 1)] = squares;
      }
    },
  }),

  /** coefficients f32 `[4][S]` = scale, shift, mean, invStd, from moments over `pixels` (biased variance). */
  batchNormCoefficients: defineKernel({
    parameters: ['moments', 'pixels', 'gamma', 'beta', 'epsilon', 'C', 'coefficients'],
    group: 'batch-norm',
    flops: (a) => 7 * a.C,
    bytes: (a) => 24 * a.C + 16 * channelStride(a.C),
    reference: ({ values }, a) => {
      writeCoefficients(values, a, (c) => ({
        mean: values[pairIndex(a.moments, c, 0)],
        variance: values[pairIndex(a.moments, c, 1)] / a.pixels,
      }));
    },
  }),

  /** The same from running statistics, float32 `[C]` each. */
  batchNormRunningCoefficients: defineKernel({
    parameters: ['runningMean', 'runningVariance', 'gamma', 'beta', 'epsilon', 'C', 'coefficients'],
    group: 'batch-norm',
    flops: (a) => 6 * a.C,
    bytes: (a) => 16 * a.C + 16 * channelStride(a.C),
    reference: ({ values }, a) => {
      writeCoefficients(values, a, (c) => ({
        mean: values[a.runningMean / 4 + c],
        variance: values[a.runningVariance / 4 + c],
      }));
    },
  }),

  /** y = relu?(z*scale + shift (+ residual)); residual 0: absent; z has no halo, y's becomes 0. */
  batchNormApply: defineKernel({
    parameters: ['z', 'coefficients', 'residual', 'residualHalo', 'y', 'yHalo', 'N', 'H', 'W', 'C', 'relu'],
    group: 'batch-norm',
    flops: (a) => (a.residual ? 4 : 3) * a.N * a.H * a.W * a.C,
    bytes: (a) => (a.residual ? 12 : 8) * floatsOf(a),
    reference: ({ values }, a) => {
      const stride = channelStride(a.C);
      const k = a.coefficients / 4;
      const z = reader(values, { ...a, address: a.z, halo: 0 });
      const residual = reader(values, { ...a, address: a.residual, halo: a.residualHalo });
      writeTensor(values, { ...a, address: a.y, halo: a.yHalo }, (n, h, w, c) =>
        rectified(z(n, h, w, c) * values[k + c] + values[k + stride + c] + residual(n, h, w, c), a.relu),
      );
    },
  }),
};
