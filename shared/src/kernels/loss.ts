/** Losses. */
import { channelStride, defineKernel } from './kernel.ts';

export const lossKernels = {
  /**
   * logits `[N][S]`, labels i32 `[N]`; dLogits `[N][S]` = softmax - onehot, not divided by N (0: skip); totals
   * f64 `[2]` = (sum of the losses, number correct); predictions i32 `[N]` = first maximum (0: skip).
   * A logit that is not finite, or a label outside 0 .. C-1, makes the sample's loss and gradient NaN.
   */
  softmaxCrossEntropy: defineKernel({
    parameters: ['logits', 'labels', 'N', 'C', 'dLogits', 'totals', 'predictions'],
    group: 'loss',
    flops: (a) => 60 * a.N * a.C,
    bytes: (a) => (a.dLogits ? 8 : 4) * a.N * channelStride(a.C),
    reference: ({ values }, a) => {
      const stride = channelStride(a.C);
      let losses = 0;
      let correct = 0;
      for (let n = 0; n < a.N; n++) {
        const row = values.slice(a.logits / 4 + n * stride, a.logits / 4 + n * stride + a.C);
        const label = values[a.labels / 4 + n];
        const sound = label >= 0 && label < a.C && row.every((x) => Number.isFinite(x));
        const best = row.reduce((top, x, c) => (x > row[top] ? c : top), 0);
        const largest = row[best];
        const exponentials = row.map((x) => Math.exp(x - largest));
        const sum = exponentials.reduce((total, x) => total + x, 0);
        losses += sound ? Math.log(sum) - (row[label] - largest) : Number.NaN;
        if (best === label) correct++;
        if (a.predictions) values[a.predictions / 4 + n] = best;
        if (a.dLogits) {
          for (let c = 0; c < stride; c++) {
            const p = sound ? exponentials[c] / sum - (c === label ? 1 : 0) : Number.NaN;
            values[a.dLogits / 4 + n * stride + c] = c < a.C ? p : 0;
          }
        }
      }
      values[a.totals / 4] = losses;
      values[a.totals / 4 + 2] = correct;
    },
  }),
};
