// Direct convolution, gradient of the input.
//
// dx[y] gets a term from kernel row kh when y + pad - kh is a multiple of the stride s. So the rows y = py, py + s, ..
// use only the kernel rows kh = tap, tap + s, .. with tap = (py + pad) mod s, and on them dx is an ordinary correlation
// of dy with stride 1; likewise the columns. s * s such phases cover dx, each written with a pixel stride of s: no zero
// is ever multiplied. A phase without taps (a 1x1 kernel of stride 2 has three) writes zeros.
import { NR, channelStride } from './lanes';
import { correlate } from './correlation';
import { transpose4 } from './transpose';

/** Kernel rows (or columns) of the phase whose first tap is `tap`. */
// @ts-ignore: decorator
@inline
function phaseTaps(kernel: i32, tap: i32, stride: i32): i32 {
  return kernel > tap ? (kernel - 1 - tap) / stride + 1 : 0;
}

/**
 * Packs one tap: out[oc][column] = w[first + column][oc], zero beyond `columns` and beyond OC.
 *
 * w: [IC][OC] of one kernel place, from input channel `first`; out: [channelStride(OC)][NR].
 */
function packTransposed(w: usize, OC: i32, columns: i32, out: usize): void {
  if (columns < NR || (OC & 3) != 0) memory.fill(out, 0, 4 * channelStride(OC) * NR);
  const row = 4 * OC;
  let j = 0;
  for (; j + 4 <= columns; j += 4) {
    let from = w + j * row;
    let to = out + 4 * j;
    let o = 0;
    for (; o + 4 <= OC; o += 4) {
      transpose4(from, row, to, 4 * NR);
      from += 16;
      to += 16 * NR;
    }
    for (; o < OC; o++) {
      for (let i = 0; i < 4; i++) store<f32>(to + 4 * i, load<f32>(from + i * row));
      from += 4;
      to += 4 * NR;
    }
  }
  for (; j < columns; j++) {
    for (let o = 0; o < OC; o++) store<f32>(out + 4 * (o * NR + j), load<f32>(w + j * row + 4 * o));
  }
}

/**
 * Packs the taps [fromTap, toTap) of w [KH][KW][IC][OC], `w` pointing to the first of them, for convBackwardData: phase
 * by phase (row phase outer), panels
 * [ceil(IC / NR)][taps of the phase, the last kernel row and column first][channelStride(OC)][NR].
 */
export function convPackBackwardData(
  w: usize, packed: usize, KH: i32, KW: i32, IC: i32, OC: i32, stride: i32, pad: i32, fromTap: i32, toTap: i32,
): void {
  const tapBytes = 4 * channelStride(OC) * NR;
  for (let py = 0; py < stride; py++) {
    const rowTap = (py + pad) % stride;
    const rows = phaseTaps(KH, rowTap, stride);
    for (let px = 0; px < stride; px++) {
      const columnTap = (px + pad) % stride;
      const columns = phaseTaps(KW, columnTap, stride);
      for (let first = 0; first < IC; first += NR) {
        for (let i = rows - 1; i >= 0; i--) {
          for (let j = columns - 1; j >= 0; j--) {
            const place = (rowTap + i * stride) * KW + columnTap + j * stride;
            if (place >= fromTap && place < toTap) {
              packTransposed(w + 4 * ((place - fromTap) * IC + first) * OC, OC, min(NR, IC - first), packed);
            }
            packed += tapBytes;
          }
        }
      }
    }
  }
}

/**
 * dx = gradient of the convolution's input, from dy and the packed weights of convPackBackwardData.
 *
 * dy: [N][OH + 2 dyHalo][OW + 2 dyHalo][channelStride(OC)] with zeros in the halo, dyHalo >= `backwardDataHalo(..)`.
 * dx: [N][H][W][channelStride(IC)], overwritten whole, padding lanes with zero.
 * Order of the sum of one output: kernel row descending, kernel column descending, output channel.
 */
export function convBackwardData(
  dy: usize, dyHalo: i32, packed: usize, dx: usize,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, KH: i32, KW: i32, stride: i32, pad: i32,
): void {
  const OH = (H + 2 * pad - KH) / stride + 1;
  const OW = (W + 2 * pad - KW) / stride + 1;
  const dyPixel = 4 * channelStride(OC);
  const dyRow = (OW + 2 * dyHalo) * dyPixel;
  const dxPixel = 4 * channelStride(IC);
  const dxRow = W * dxPixel;
  const panels = (IC + NR - 1) / NR;
  for (let py = 0; py < stride; py++) {
    const rows = phaseTaps(KH, (py + pad) % stride, stride);
    const firstRow = (py + pad) / stride - rows + 1;
    for (let px = 0; px < stride; px++) {
      const columns = phaseTaps(KW, (px + pad) % stride, stride);
      const firstColumn = (px + pad) / stride - columns + 1;
      correlate(
        N, (H - py + stride - 1) / stride, (W - px + stride - 1) / stride, IC, rows, columns * channelStride(OC),
        dy + (firstRow + dyHalo) * dyRow + (firstColumn + dyHalo) * dyPixel,
        (OH + 2 * dyHalo) * dyRow, dyRow, dyRow, dyPixel, packed,
        dx + py * dxRow + px * dxPixel, H * dxRow, stride * dxRow, stride * dxPixel,
      );
      packed += panels * rows * columns * channelStride(OC) * NR * 4;
    }
  }
}
