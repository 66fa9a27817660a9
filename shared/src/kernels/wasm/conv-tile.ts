// The register tiles of the direct convolution: neighbouring pixels of one output row x one panel of NR channels.
//
// y[pixel][column] = sum over `rows` kernel rows, then over `length` consecutive floats of x (kernel column, then
// input channel: neighbours in NHWC), of x * w, in this order, in one accumulator for each output: the same bits
// whatever the tile.
//
// x: first float of the first pixel; xRow, xPixel: bytes between kernel rows, between output pixels.
// w: panel [rows][length][NR]. y: first output; yPixel: bytes between its pixels. rows = 0 writes zeros.
//
// The shape of this code is what V8's revectorization recognises: four adjacent 128-bit loads or stores for 16
// columns, `if (n > 0) do ... while (--n)`, nothing unrolled along the sum, and no inlining (so the entry exports it). Of
// two halves the higher one is stored first: in the other order V8 stores the lower one twice.
import { MADD, NR } from './lanes';

/** Six pixels x NR columns: 12 accumulators of 8 lanes in the wide builds, of 4 in the narrow ones. */
export function tileConvolution6(
  rows: i32, length: i32, x: usize, xRow: i32, xPixel: i32, w: usize, y: usize, yPixel: i32,
): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  let e0 = zero, e1 = zero, e2 = zero, e3 = zero;
  let f0 = zero, f1 = zero, f2 = zero, f3 = zero;
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
      let w2 = zero, w3 = zero;
      if (NR == 16) {
        w2 = v128.load(w, 32);
        w3 = v128.load(w, 48);
      }
      let s: v128;
      s = v128.load32_splat(p);
      a0 = MADD(s, w0, a0);
      a1 = MADD(s, w1, a1);
      if (NR == 16) {
        a2 = MADD(s, w2, a2);
        a3 = MADD(s, w3, a3);
      }
      s = v128.load32_splat(p + xPixel);
      b0 = MADD(s, w0, b0);
      b1 = MADD(s, w1, b1);
      if (NR == 16) {
        b2 = MADD(s, w2, b2);
        b3 = MADD(s, w3, b3);
      }
      s = v128.load32_splat(p + xPixel2);
      c0 = MADD(s, w0, c0);
      c1 = MADD(s, w1, c1);
      if (NR == 16) {
        c2 = MADD(s, w2, c2);
        c3 = MADD(s, w3, c3);
      }
      s = v128.load32_splat(p + xPixel3);
      d0 = MADD(s, w0, d0);
      d1 = MADD(s, w1, d1);
      if (NR == 16) {
        d2 = MADD(s, w2, d2);
        d3 = MADD(s, w3, d3);
      }
      s = v128.load32_splat(p + xPixel4);
      e0 = MADD(s, w0, e0);
      e1 = MADD(s, w1, e1);
      if (NR == 16) {
        e2 = MADD(s, w2, e2);
        e3 = MADD(s, w3, e3);
      }
      s = v128.load32_splat(p + xPixel5);
      f0 = MADD(s, w0, f0);
      f1 = MADD(s, w1, f1);
      if (NR == 16) {
        f2 = MADD(s, w2, f2);
        f3 = MADD(s, w3, f3);
      }
      p += 4;
      w += 4 * NR;
    } while (--k);
    x += xRow;
  } while (--rows);
  v128.store(y, a1, 16);
  v128.store(y, a0);
  if (NR == 16) {
    v128.store(y, a3, 48);
    v128.store(y, a2, 32);
  }
  y += yPixel;
  v128.store(y, b1, 16);
  v128.store(y, b0);
  if (NR == 16) {
    v128.store(y, b3, 48);
    v128.store(y, b2, 32);
  }
  y += yPixel;
  v128.store(y, c1, 16);
  v128.store(y, c0);
  if (NR == 16) {
    v128.store(y, c3, 48);
    v128.store(y, c2, 32);
  }
  y += yPixel;
  v128.store(y, d1, 16);
  v128.store(y, d0);
  if (NR == 16) {
    v128.store(y, d3, 48);
    v128.store(y, d2, 32);
  }
  y += yPixel;
  v128.store(y, e1, 16);
  v128.store(y, e0);
  if (NR == 16) {
    v128.store(y, e3, 48);
    v128.store(y, e2, 32);
  }
  y += yPixel;
  v128.store(y, f1, 16);
  v128.store(y, f0);
  if (NR == 16) {
    v128.store(y, f3, 48);
    v128.store(y, f2, 32);
  }
}

/** Four pixels x NR columns, for what six do not divide. */
export function tileConvolution4(
  rows: i32, length: i32, x: usize, xRow: i32, xPixel: i32, w: usize, y: usize, yPixel: i32,
): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  const xPixel2 = 2 * xPixel;
  const xPixel3 = 3 * xPixel;
  if (rows > 0 && length > 0) do {
    let k = length;
    let p = x;
    do {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      let w2 = zero, w3 = zero;
      if (NR == 16) {
        w2 = v128.load(w, 32);
        w3 = v128.load(w, 48);
      }
      let s: v128;
      s = v128.load32_splat(p);
      a0 = MADD(s, w0, a0);
      a1 = MADD(s, w1, a1);
      if (NR == 16) {
        a2 = MADD(s, w2, a2);
        a3 = MADD(s, w3, a3);
      }
      s = v128.load32_splat(p + xPixel);
      b0 = MADD(s, w0, b0);
      b1 = MADD(s, w1, b1);
      if (NR == 16) {
        b2 = MADD(s, w2, b2);
        b3 = MADD(s, w3, b3);
      }
      s = v128.load32_splat(p + xPixel2);
      c0 = MADD(s, w0, c0);
      c1 = MADD(s, w1, c1);
      if (NR == 16) {
        c2 = MADD(s, w2, c2);
        c3 = MADD(s, w3, c3);
      }
      s = v128.load32_splat(p + xPixel3);
      d0 = MADD(s, w0, d0);
      d1 = MADD(s, w1, d1);
      if (NR == 16) {
        d2 = MADD(s, w2, d2);
        d3 = MADD(s, w3, d3);
      }
      p += 4;
      w += 4 * NR;
    } while (--k);
    x += xRow;
  } while (--rows);
  v128.store(y, a1, 16);
  v128.store(y, a0);
  if (NR == 16) {
    v128.store(y, a3, 48);
    v128.store(y, a2, 32);
  }
  y += yPixel;
  v128.store(y, b1, 16);
  v128.store(y, b0);
  if (NR == 16) {
    v128.store(y, b3, 48);
    v128.store(y, b2, 32);
  }
  y += yPixel;
  v128.store(y, c1, 16);
  v128.store(y, c0);
  if (NR == 16) {
    v128.store(y, c3, 48);
    v128.store(y, c2, 32);
  }
  y += yPixel;
  v128.store(y, d1, 16);
  v128.store(y, d0);
  if (NR == 16) {
    v128.store(y, d3, 48);
    v128.store(y, d2, 32);
  }
}

/** Two pixels x NR columns, for images two or three pixels wide. */
export function tileConvolution2(
  rows: i32, length: i32, x: usize, xRow: i32, xPixel: i32, w: usize, y: usize, yPixel: i32,
): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  if (rows > 0 && length > 0) do {
    let k = length;
    let p = x;
    do {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      let w2 = zero, w3 = zero;
      if (NR == 16) {
        w2 = v128.load(w, 32);
        w3 = v128.load(w, 48);
      }
      let s: v128;
      s = v128.load32_splat(p);
      a0 = MADD(s, w0, a0);
      a1 = MADD(s, w1, a1);
      if (NR == 16) {
        a2 = MADD(s, w2, a2);
        a3 = MADD(s, w3, a3);
      }
      s = v128.load32_splat(p + xPixel);
      b0 = MADD(s, w0, b0);
      b1 = MADD(s, w1, b1);
      if (NR == 16) {
        b2 = MADD(s, w2, b2);
        b3 = MADD(s, w3, b3);
      }
      p += 4;
      w += 4 * NR;
    } while (--k);
    x += xRow;
  } while (--rows);
  v128.store(y, a1, 16);
  v128.store(y, a0);
  if (NR == 16) {
    v128.store(y, a3, 48);
    v128.store(y, a2, 32);
  }
  y += yPixel;
  v128.store(y, b1, 16);
  v128.store(y, b0);
  if (NR == 16) {
    v128.store(y, b3, 48);
    v128.store(y, b2, 32);
  }
}

/** One pixel x NR columns, for images one pixel wide. */
export function tileConvolution1(
  rows: i32, length: i32, x: usize, xRow: i32, xPixel: i32, w: usize, y: usize, yPixel: i32,
): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  if (rows > 0 && length > 0) do {
    let k = length;
    let p = x;
    do {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      let w2 = zero, w3 = zero;
      if (NR == 16) {
        w2 = v128.load(w, 32);
        w3 = v128.load(w, 48);
      }
      let s: v128;
      s = v128.load32_splat(p);
      a0 = MADD(s, w0, a0);
      a1 = MADD(s, w1, a1);
      if (NR == 16) {
        a2 = MADD(s, w2, a2);
        a3 = MADD(s, w3, a3);
      }
      p += 4;
      w += 4 * NR;
    } while (--k);
    x += xRow;
  } while (--rows);
  v128.store(y, a1, 16);
  v128.store(y, a0);
  if (NR == 16) {
    v128.store(y, a3, 48);
    v128.store(y, a2, 32);
  }
}
