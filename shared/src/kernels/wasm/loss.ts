// Softmax with cross-entropy, in float64 throughout: a loss is small work and its errors reach everything.

import { channelStride } from './lanes';
import { exp, log } from './math';

/**
 * logits [N][S], labels i32 [N]. dLogits [N][S] = softmax - onehot, not divided by N (0: skip);
 * totals f64 [2] = (sum of the losses, number of correct predictions); predictions i32 [N] = first maximum (0: skip).
 * loss = log(sum_c exp(x_c - max)) - (x_label - max). A logit that is not finite, and a label that is no class, make
 * loss and gradient of that sample NaN.
 */
export function softmaxCrossEntropy(
  logits: usize, labels: usize, N: i32, C: i32, dLogits: usize, totals: usize, predictions: usize,
): void {
  const S = channelStride(C);
  let losses: f64 = 0;
  let correct = 0;
  for (let n = 0; n < N; n++) {
    const label = load<i32>(labels + (<usize>n << 2));
    let largest = load<f32>(logits);
    let best = 0;
    // x - x is 0 for a number and NaN for the rest. An infinity would otherwise vanish in exp(-Infinity) = 0.
    let trouble: f64 = <u32>label < <u32>C ? 0 : NaN;
    for (let c = 0; c < C; c++) {
      const x = load<f32>(logits + (<usize>c << 2));
      trouble += <f64>(x - x);
      if (x > largest) {
        largest = x;
        best = c;
      }
    }
    let sum: f64 = 0;
    for (let c = 0; c < C; c++) sum += exp(<f64>load<f32>(logits + (<usize>c << 2)) - <f64>largest);
    if (trouble == 0) losses += log(sum) - (<f64>load<f32>(logits + (<usize>label << 2)) - <f64>largest);
    else losses = NaN;
    if (best == label) correct++;
    if (predictions) store<i32>(predictions + (<usize>n << 2), best);
    if (dLogits) {
      for (let c = 0; c < C; c++) {
        const p = exp(<f64>load<f32>(logits + (<usize>c << 2)) - <f64>largest) / sum + trouble;
        store<f32>(dLogits + (<usize>c << 2), <f32>(c == label ? p - 1 : p));
      }
      for (let c = C; c < S; c++) store<f32>(dLogits + (<usize>c << 2), 0);
      dLogits += <usize>S << 2;
    }
    logits += <usize>S << 2;
  }
  store<f64>(totals, losses);
  store<f64>(totals, <f64>correct, 8);
}
