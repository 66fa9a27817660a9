// Direct convolution, forward: no im2col, the halo of x stands for the padding.
import { NR, channelStride } from './lanes';
import { correlate } from './correlation';
import { zeroHalo } from './halo';

/**
 * Packs the taps [fromTap, toTap) of w [KH][KW][IC][OC], `w` pointing to the first of them, into panels
 * [ceil(OC / NR)][KH * KW][channelStride(IC)][NR], zero where there is no channel.
 */
export function convPackForward(
  w: usize, packed: usize, KH: i32, KW: i32, IC: i32, OC: i32, fromTap: i32, toTap: i32,
): void {
  const lanes = channelStride(IC);
  const tapBytes = 4 * lanes * NR;
  const panelBytes = KH * KW * tapBytes;
  const firstTap = packed + fromTap * tapBytes;
  for (let first = 0; first < OC; first += NR) {
    const columns = min(NR, OC - first);
    packed = firstTap + first / NR * panelBytes;
    for (let tap = fromTap; tap < toTap; tap++) {
      let from = w + 4 * ((tap - fromTap) * IC * OC + first);
      if (columns < NR) memory.fill(packed, 0, 4 * lanes * NR);
      else memory.fill(packed + 4 * IC * NR, 0, 4 * (lanes - IC) * NR);
      for (let channel = 0; channel < IC; channel++) {
        const to = packed + 4 * channel * NR;
        let j = 0;
        for (; j + 4 <= columns; j += 4) v128.store(to + 4 * j, v128.load(from + 4 * j));
        for (; j < columns; j++) store<f32>(to + 4 * j, load<f32>(from + 4 * j));
        from += 4 * OC;
      }
      packed += tapBytes;
    }
  }
}

/**
 * y = convolution of x with the packed weights of convPackForward.
 *
 * x: [N][H + 2 xHalo][W + 2 xHalo][channelStride(IC)], xHalo >= pad.
 * y: [N][OH + 2 yHalo][OW + 2 yHalo][channelStride(OC)], written whole: interior, padding lanes (zero), halo (zero).
 * OH = floor((H + 2 pad - KH) / stride) + 1.
 * Order of the sum of one output: kernel row, kernel column, input channel.
 */
export function convForward(
  x: usize, xHalo: i32, packed: usize, y: usize, yHalo: i32,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, KH: i32, KW: i32, stride: i32, pad: i32,
): void {
  const OH = (H + 2 * pad - KH) / stride + 1;
  const OW = (W + 2 * pad - KW) / stride + 1;
  const xPixel = 4 * channelStride(IC);
  const xRow = (W + 2 * xHalo) * xPixel;
  const yPixel = 4 * channelStride(OC);
  const yRow = (OW + 2 * yHalo) * yPixel;
  zeroHalo(y, yHalo, N, OH, OW, channelStride(OC));
  correlate(
    N, OH, OW, OC, KH, KW * channelStride(IC),
    x + (xHalo - pad) * (xRow + xPixel), (H + 2 * xHalo) * xRow, stride * xRow, xRow, stride * xPixel, packed,
    y + yHalo * (yRow + yPixel), (OH + 2 * yHalo) * yRow, yRow, yPixel,
  );
}
