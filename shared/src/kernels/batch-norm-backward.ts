/** Batch-norm, backward (Ioffe & Szegedy 2015). */
import { pairIndex } from './batch-norm.ts';
import { channelStride, defineKernel } from './kernel.ts';
import { eachElement, floatsOf, maskedGradient, reader, writeTensor } from './reference-tensor.ts';

export const batchNormBackwardKernels = {
  /**
   * masked = (g + g2?) where y > 0 (if relu); sums f64 `[C][2]` = (sum of masked, sum of masked*(z - mean)), added
   * to what is there if `accumulate`.
   * Only y has a halo; masked may be g; g2 = 0: absent; y is not read without relu.
   */
  batchNormBackwardReduce: defineKernel({
    parameters: [
      'g',
      'g2',
      'y',
      'yHalo',
      'z',
      'coefficients',
      'masked',
      'N',
      'H',
      'W',
      'C',
      'relu',
      'sums',
      'accumulate',
    ],
    group: 'batch-norm',
    flops: (a) => (a.g2 ? 5 : 4) * a.N * a.H * a.W * a.C,
    bytes: (a) => (12 + (a.g2 ? 4 : 0) + (a.relu ? 4 : 0)) * floatsOf(a),
    reference: ({ values }, a) => {
      const stride = channelStride(a.C);
      const k = a.coefficients / 4;
      writeTensor(values, { ...a, address: a.masked, halo: 0 }, maskedGradient(values, a, a.relu));
      const m = reader(values, { ...a, address: a.masked, halo: 0 });
      const z = reader(values, { ...a, address: a.z, halo: 0 });
      const sums = new Float64Array(2 * a.C);
      eachElement(a, (n, h, w, c) => {
        sums[2 * c] += m(n, h, w, c);
        sums[2 * c + 1] += m(n, h, w, c) * (z(n, h, w, c) - values[k + 2 * stride + c]);
      });
      for (let c = 0; c < a.C; c++) {
        const [first, second] = [pairIndex(a.sums, c, 0), pairIndex(a.sums, c, 1)];
        values[first] = sums[2 * c] + (a.accumulate ? values[first] : 0);
        values[second] = sums[2 * c + 1] + (a.accumulate ? values[second] : 0);
      }
    },
  }),

  /**
   * dz = scale*(m - sum_m/pixels - xhat*sum_mx/pixels), where `pixels` is the count behind the moments, sum_m =
   * sums[0] and sum_mx = invStd * sums[1] over all of them; dGamma `[C]` = sum_mx and dBeta `[C]` = sum_m over the
   * pixels here: `ownSums`, which is `sums` unless others have a share in it. m = masked and z have no halo, dz's
   * becomes 0.
   */
  batchNormBackwardApply: defineKernel({
    parameters: [
      'masked',
      'z',
      'coefficients',
      'sums',
      'ownSums',
      'pixels',
      'dz',
      'dzHalo',
      'N',
      'H',
      'W',
      'C',
      'dGamma',
      'dBeta',
    ],
    group: 'batch-norm',
    flops: (a) => 5 * a.N * a.H * a.W * a.C,
    bytes: (a) => 12 * floatsOf(a),
    reference: ({ values }, a) => {
      const stride = channelStride(a.C);
      const k = a.coefficients / 4;
      const m = reader(values, { ...a, address: a.masked, halo: 0 });
      const z = reader(values, { ...a, address: a.z, halo: 0 });
      writeTensor(values, { ...a, address: a.dz, halo: a.dzHalo }, (n, h, w, c) => {
        const xhat = (z(n, h, w, c) - values[k + 2 * stride + c]) * values[k + 3 * stride + c];
        const mean = values[pairIndex(a.sums, c, 0)] / a.pixels;
        const slope = (values[pairIndex(a.sums, c, 1)] * values[k + 3 * stride + c]) / a.pixels;
        return values[k + c] * (m(n, h, w, c) - mean - xhat * slope);
      });
      for (let c = 0; c < a.C; c++) {
        values[a.dBeta / 4 + c] = values[pairIndex(a.ownSums, c, 0)];
        values[a.dGamma / 4 + c] = values[pairIndex(a.ownSums, c, 1)] * values[k + 3 * stride + c];
      }
    },
  }),
};
