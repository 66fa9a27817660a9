// Register tiles for a last panel that is not full: they write 8 or 4 channels and nothing beside them.
// Arguments and order of the sum as in conv-tile.ts.
import { MADD, NR } from './lanes';

/**
 * Six pixels x the first 8 columns of a panel, for a last panel that is not full (in the narrow builds 8 is full).
 * Six chains of additions cannot hide their latency as twelve do: about three quarters of the speed.
 */
export function tileConvolutionHalf6(
  rows: i32, length: i32, x: usize, xRow: i32, xPixel: i32, w: usize, y: usize, yPixel: i32,
): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero;
  let b0 = zero, b1 = zero;
  let c0 = zero, c1 = zero;
  let d0 = zero, d1 = zero;
  let e0 = zero, e1 = zero;
  let f0 = zero, f1 = zero;
  const xPixel2 = 2 * xPixel;
  const xPixel3 = 3 * xPixel;
  const xPixel4 = 4 * xPixel;
  const xPixel5 = 5 * xPixel;
  if (rows > 0 && length > 0) do {
    let k = length;
    let p = x;
    do {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      let s: v128;
      s = v128.load32_splat(p);
      a0 = MADD(s, w0, a0);
      a1 = MADD(s, w1, a1);
      s = v128.load32_splat(p + xPixel);
      b0 = MADD(s, w0, b0);
      b1 = MADD(s, w1, b1);
      s = v128.load32_splat(p + xPixel2);
      c0 = MADD(s, w0, c0);
      c1 = MADD(s, w1, c1);
      s = v128.load32_splat(p + xPixel3);
      d0 = MADD(s, w0, d0);
      d1 = MADD(s, w1, d1);
      s = v128.load32_splat(p + xPixel4);
      e0 = MADD(s, w0, e0);
      e1 = MADD(s, w1, e1);
      s = v128.load32_splat(p + xPixel5);
      f0 = MADD(s, w0, f0);
      f1 = MADD(s, w1, f1);
      p += 4;
      w += 4 * NR;
    } while (--k);
    x += xRow;
  } while (--rows);
  v128.store(y, a1, 16);
  v128.store(y, a0);
  y += yPixel;
  v128.store(y, b1, 16);
  v128.store(y, b0);
  y += yPixel;
  v128.store(y, c1, 16);
  v128.store(y, c0);
  y += yPixel;
  v128.store(y, d1, 16);
  v128.store(y, d0);
  y += yPixel;
  v128.store(y, e1, 16);
  v128.store(y, e0);
  y += yPixel;
  v128.store(y, f1, 16);
  v128.store(y, f0);
}

/** Four pixels x 4 columns of a panel, for a last panel that is not full; w points at the first of the 4 columns. */
export function tileConvolutionQuad4(
  rows: i32, length: i32, x: usize, xRow: i32, xPixel: i32, w: usize, y: usize, yPixel: i32,
): void {
  const zero = f32x4.splat(0);
  let a = zero, b = zero, c = zero, d = zero;
  const xPixel2 = 2 * xPixel;
  const xPixel3 = 3 * xPixel;
  if (rows > 0 && length > 0) do {
    let k = length;
    let p = x;
    do {
      const w0 = v128.load(w);
      a = MADD(v128.load32_splat(p), w0, a);
      b = MADD(v128.load32_splat(p + xPixel), w0, b);
      c = MADD(v128.load32_splat(p + xPixel2), w0, c);
      d = MADD(v128.load32_splat(p + xPixel3), w0, d);
      p += 4;
      w += 4 * NR;
    } while (--k);
    x += xRow;
  } while (--rows);
  v128.store(y, a);
  y += yPixel;
  v128.store(y, b);
  y += yPixel;
  v128.store(y, c);
  y += yPixel;
  v128.store(y, d);
}

/** One pixel x 4 columns. */
export function tileConvolutionQuad1(rows: i32, length: i32, x: usize, xRow: i32, w: usize, y: usize): void {
  let a = f32x4.splat(0);
  if (rows > 0 && length > 0) do {
    let k = length;
    let p = x;
    do {
      a = MADD(v128.load32_splat(p), v128.load(w), a);
      p += 4;
      w += 4 * NR;
    } while (--k);
    x += xRow;
  } while (--rows);
  v128.store(y, a);
}
