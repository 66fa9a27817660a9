// The register tiles of the matrix product: 6 or 4 rows x NR columns.
// See conv-tile.ts for why the code has this shape.
import { MADD, NR } from './lanes';

/**
 * c[6][NR] = sum over k, ascending, of a[k][6] * b[k][NR]: both operands packed, one accumulator for each output.
 *
 * cRow: bytes between the rows of c. depth = 0 writes zeros.
 */
export function tileProduct6(depth: i32, a: usize, b: usize, c: usize, cRow: i32): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  let e0 = zero, e1 = zero, e2 = zero, e3 = zero;
  let f0 = zero, f1 = zero, f2 = zero, f3 = zero;
  if (depth > 0) do {
    const w0 = v128.load(b);
    const w1 = v128.load(b, 16);
    let w2 = zero, w3 = zero;
    if (NR == 16) {
      w2 = v128.load(b, 32);
      w3 = v128.load(b, 48);
    }
    let s: v128;
    s = v128.load32_splat(a);
    a0 = MADD(s, w0, a0);
    a1 = MADD(s, w1, a1);
    if (NR == 16) {
      a2 = MADD(s, w2, a2);
      a3 = MADD(s, w3, a3);
    }
    s = v128.load32_splat(a, 4);
    b0 = MADD(s, w0, b0);
    b1 = MADD(s, w1, b1);
    if (NR == 16) {
      b2 = MADD(s, w2, b2);
      b3 = MADD(s, w3, b3);
    }
    s = v128.load32_splat(a, 8);
    c0 = MADD(s, w0, c0);
    c1 = MADD(s, w1, c1);
    if (NR == 16) {
      c2 = MADD(s, w2, c2);
      c3 = MADD(s, w3, c3);
    }
    s = v128.load32_splat(a, 12);
    d0 = MADD(s, w0, d0);
    d1 = MADD(s, w1, d1);
    if (NR == 16) {
      d2 = MADD(s, w2, d2);
      d3 = MADD(s, w3, d3);
    }
    s = v128.load32_splat(a, 16);
    e0 = MADD(s, w0, e0);
    e1 = MADD(s, w1, e1);
    if (NR == 16) {
      e2 = MADD(s, w2, e2);
      e3 = MADD(s, w3, e3);
    }
    s = v128.load32_splat(a, 20);
    f0 = MADD(s, w0, f0);
    f1 = MADD(s, w1, f1);
    if (NR == 16) {
      f2 = MADD(s, w2, f2);
      f3 = MADD(s, w3, f3);
    }
    a += 24;
    b += 4 * NR;
  } while (--depth);
  v128.store(c, a1, 16);
  v128.store(c, a0);
  if (NR == 16) {
    v128.store(c, a3, 48);
    v128.store(c, a2, 32);
  }
  c += cRow;
  v128.store(c, b1, 16);
  v128.store(c, b0);
  if (NR == 16) {
    v128.store(c, b3, 48);
    v128.store(c, b2, 32);
  }
  c += cRow;
  v128.store(c, c1, 16);
  v128.store(c, c0);
  if (NR == 16) {
    v128.store(c, c3, 48);
    v128.store(c, c2, 32);
  }
  c += cRow;
  v128.store(c, d1, 16);
  v128.store(c, d0);
  if (NR == 16) {
    v128.store(c, d3, 48);
    v128.store(c, d2, 32);
  }
  c += cRow;
  v128.store(c, e1, 16);
  v128.store(c, e0);
  if (NR == 16) {
    v128.store(c, e3, 48);
    v128.store(c, e2, 32);
  }
  c += cRow;
  v128.store(c, f1, 16);
  v128.store(c, f0);
  if (NR == 16) {
    v128.store(c, f3, 48);
    v128.store(c, f2, 32);
  }
}

/** c[4][NR] from a[k][4] and b[k][NR], otherwise as tileProduct6. */
export function tileProduct4(depth: i32, a: usize, b: usize, c: usize, cRow: i32): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  if (depth > 0) do {
    const w0 = v128.load(b);
    const w1 = v128.load(b, 16);
    let w2 = zero, w3 = zero;
    if (NR == 16) {
      w2 = v128.load(b, 32);
      w3 = v128.load(b, 48);
    }
    let s: v128;
    s = v128.load32_splat(a);
    a0 = MADD(s, w0, a0);
    a1 = MADD(s, w1, a1);
    if (NR == 16) {
      a2 = MADD(s, w2, a2);
      a3 = MADD(s, w3, a3);
    }
    s = v128.load32_splat(a, 4);
    b0 = MADD(s, w0, b0);
    b1 = MADD(s, w1, b1);
    if (NR == 16) {
      b2 = MADD(s, w2, b2);
      b3 = MADD(s, w3, b3);
    }
    s = v128.load32_splat(a, 8);
    c0 = MADD(s, w0, c0);
    c1 = MADD(s, w1, c1);
    if (NR == 16) {
      c2 = MADD(s, w2, c2);
      c3 = MADD(s, w3, c3);
    }
    s = v128.load32_splat(a, 12);
    d0 = MADD(s, w0, d0);
    d1 = MADD(s, w1, d1);
    if (NR == 16) {
      d2 = MADD(s, w2, d2);
      d3 = MADD(s, w3, d3);
    }
    a += 16;
    b += 4 * NR;
  } while (--depth);
  v128.store(c, a1, 16);
  v128.store(c, a0);
  if (NR == 16) {
    v128.store(c, a3, 48);
    v128.store(c, a2, 32);
  }
  c += cRow;
  v128.store(c, b1, 16);
  v128.store(c, b0);
  if (NR == 16) {
    v128.store(c, b3, 48);
    v128.store(c, b2, 32);
  }
  c += cRow;
  v128.store(c, c1, 16);
  v128.store(c, c0);
  if (NR == 16) {
    v128.store(c, c3, 48);
    v128.store(c, c2, 32);
  }
  c += cRow;
  v128.store(c, d1, 16);
  v128.store(c, d0);
  if (NR == 16) {
    v128.store(c, d3, 48);
    v128.store(c, d2, 32);
  }
}
