// The register tiles of the weight gradient: a few neighbouring input channels x one panel of NR output channels.
//
// out[channel][column] = sum over `images`, `rows`, `columns` of output pixels, in this order, of
// x[pixel][channel] * dy[pixel][column], one accumulator for each output.
//
// x: the first channel at the first pixel; xPixel: bytes between the inputs of neighbouring output pixels; rowSkip,
// imageSkip: bytes to add behind a row, behind an image. dy: packed [pixel][NR]. out: [channels][NR], packed.
// See conv-tile.ts for why the code has this shape.
import { MADD, NR } from './lanes';

/** Six input channels x NR output channels. */
export function tileWeights6(
  images: i32, rows: i32, columns: i32, x: usize, xPixel: i32, rowSkip: i32, imageSkip: i32, dy: usize, out: usize,
): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  let e0 = zero, e1 = zero, e2 = zero, e3 = zero;
  let f0 = zero, f1 = zero, f2 = zero, f3 = zero;
  if (images > 0 && rows > 0 && columns > 0) do {
    let row = rows;
    do {
      let k = columns;
      do {
        const w0 = v128.load(dy);
        const w1 = v128.load(dy, 16);
        let w2 = zero, w3 = zero;
        if (NR == 16) {
          w2 = v128.load(dy, 32);
          w3 = v128.load(dy, 48);
        }
        let s: v128;
        s = v128.load32_splat(x);
        a0 = MADD(s, w0, a0);
        a1 = MADD(s, w1, a1);
        if (NR == 16) {
          a2 = MADD(s, w2, a2);
          a3 = MADD(s, w3, a3);
        }
        s = v128.load32_splat(x, 4);
        b0 = MADD(s, w0, b0);
        b1 = MADD(s, w1, b1);
        if (NR == 16) {
          b2 = MADD(s, w2, b2);
          b3 = MADD(s, w3, b3);
        }
        s = v128.load32_splat(x, 8);
        c0 = MADD(s, w0, c0);
        c1 = MADD(s, w1, c1);
        if (NR == 16) {
          c2 = MADD(s, w2, c2);
          c3 = MADD(s, w3, c3);
        }
        s = v128.load32_splat(x, 12);
        d0 = MADD(s, w0, d0);
        d1 = MADD(s, w1, d1);
        if (NR == 16) {
          d2 = MADD(s, w2, d2);
          d3 = MADD(s, w3, d3);
        }
        s = v128.load32_splat(x, 16);
        e0 = MADD(s, w0, e0);
        e1 = MADD(s, w1, e1);
        if (NR == 16) {
          e2 = MADD(s, w2, e2);
          e3 = MADD(s, w3, e3);
        }
        s = v128.load32_splat(x, 20);
        f0 = MADD(s, w0, f0);
        f1 = MADD(s, w1, f1);
        if (NR == 16) {
          f2 = MADD(s, w2, f2);
          f3 = MADD(s, w3, f3);
        }
        x += xPixel;
        dy += 4 * NR;
      } while (--k);
      x += rowSkip;
    } while (--row);
    x += imageSkip;
  } while (--images);
  v128.store(out, a1, 16);
  v128.store(out, a0);
  if (NR == 16) {
    v128.store(out, a3, 48);
    v128.store(out, a2, 32);
  }
  out += 4 * NR;
  v128.store(out, b1, 16);
  v128.store(out, b0);
  if (NR == 16) {
    v128.store(out, b3, 48);
    v128.store(out, b2, 32);
  }
  out += 4 * NR;
  v128.store(out, c1, 16);
  v128.store(out, c0);
  if (NR == 16) {
    v128.store(out, c3, 48);
    v128.store(out, c2, 32);
  }
  out += 4 * NR;
  v128.store(out, d1, 16);
  v128.store(out, d0);
  if (NR == 16) {
    v128.store(out, d3, 48);
    v128.store(out, d2, 32);
  }
  out += 4 * NR;
  v128.store(out, e1, 16);
  v128.store(out, e0);
  if (NR == 16) {
    v128.store(out, e3, 48);
    v128.store(out, e2, 32);
  }
  out += 4 * NR;
  v128.store(out, f1, 16);
  v128.store(out, f0);
  if (NR == 16) {
    v128.store(out, f3, 48);
    v128.store(out, f2, 32);
  }
}

/** Four input channels x NR output channels. */
export function tileWeights4(
  images: i32, rows: i32, columns: i32, x: usize, xPixel: i32, rowSkip: i32, imageSkip: i32, dy: usize, out: usize,
): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  if (images > 0 && rows > 0 && columns > 0) do {
    let row = rows;
    do {
      let k = columns;
      do {
        const w0 = v128.load(dy);
        const w1 = v128.load(dy, 16);
        let w2 = zero, w3 = zero;
        if (NR == 16) {
          w2 = v128.load(dy, 32);
          w3 = v128.load(dy, 48);
        }
        let s: v128;
        s = v128.load32_splat(x);
        a0 = MADD(s, w0, a0);
        a1 = MADD(s, w1, a1);
        if (NR == 16) {
          a2 = MADD(s, w2, a2);
          a3 = MADD(s, w3, a3);
        }
        s = v128.load32_splat(x, 4);
        b0 = MADD(s, w0, b0);
        b1 = MADD(s, w1, b1);
        if (NR == 16) {
          b2 = MADD(s, w2, b2);
          b3 = MADD(s, w3, b3);
        }
        s = v128.load32_splat(x, 8);
        c0 = MADD(s, w0, c0);
        c1 = MADD(s, w1, c1);
        if (NR == 16) {
          c2 = MADD(s, w2, c2);
          c3 = MADD(s, w3, c3);
        }
        s = v128.load32_splat(x, 12);
        d0 = MADD(s, w0, d0);
        d1 = MADD(s, w1, d1);
        if (NR == 16) {
          d2 = MADD(s, w2, d2);
          d3 = MADD(s, w3, d3);
        }
        x += xPixel;
        dy += 4 * NR;
      } while (--k);
      x += rowSkip;
    } while (--row);
    x += imageSkip;
  } while (--images);
  v128.store(out, a1, 16);
  v128.store(out, a0);
  if (NR == 16) {
    v128.store(out, a3, 48);
    v128.store(out, a2, 32);
  }
  out += 4 * NR;
  v128.store(out, b1, 16);
  v128.store(out, b0);
  if (NR == 16) {
    v128.store(out, b3, 48);
    v128.store(out, b2, 32);
  }
  out += 4 * NR;
  v128.store(out, c1, 16);
  v128.store(out, c0);
  if (NR == 16) {
    v128.store(out, c3, 48);
    v128.store(out, c2, 32);
  }
  out += 4 * NR;
  v128.store(out, d1, 16);
  v128.store(out, d0);
  if (NR == 16) {
    v128.store(out, d3, 48);
    v128.store(out, d2, 32);
  }
}
