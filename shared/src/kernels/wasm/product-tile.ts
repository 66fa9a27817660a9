// The register tiles of the matrix product and of the Winograd passes forward and backward to the input: rows of A as
// they lie in memory x one packed panel of NR columns of B.
//
// c[row][column] (+)= sum over k, ascending, of a[row][k] * b[k][column], in one accumulator for each output. A sum that
// is cut, and goes on from what was stored, has the same bits.
//
// a: aRow bytes from row to row. b: [depth][NR]. c: cRow bytes from row to row. See conv-tile.ts for why the code has
// this shape.
import { MADD, NR, SIX_ROWS } from './lanes';

/** Rows of A that are read and of C that are written for `count` rows, at most: the tiles are 6 and 4 rows high. */
// @ts-ignore: decorator
@inline
export function productRows(count: i32): i32 {
  return (count + 3) & ~3;
}

/** The most of `count` rows that tiles cover exactly: every even number from 4 on is a sum of sixes and fours. */
// @ts-ignore: decorator
@inline
export function exactRows(count: i32): i32 {
  if (!SIX_ROWS) return count & ~3;
  return count < 4 ? 0 : count & ~1;
}

/** c [count][NR] = a b, or c += a b when `more`; up to productRows(count) rows of a and c are read and written. */
export function productOfRows(
  more: bool, count: i32, depth: i32, a: usize, aRow: i32, b: usize, c: usize, cRow: i32,
): void {
  if (count <= 0) return;
  let left = SIX_ROWS ? max(4, (count + 1) & ~1) : productRows(count);
  do {
    let height = 4;
    if (SIX_ROWS && left != 4 && left != 8) {
      height = 6;
      if (more) tileProductMore6(depth, a, aRow, b, c, cRow);
      else tileProduct6(depth, a, aRow, b, c, cRow);
    } else if (more) tileProductMore4(depth, a, aRow, b, c, cRow);
    else tileProduct4(depth, a, aRow, b, c, cRow);
    a += height * aRow;
    c += height * cRow;
    left -= height;
  } while (left > 0);
}

/** Six rows, sums from zero. */
export function tileProduct6(depth: i32, a: usize, aRow: i32, b: usize, c: usize, cRow: i32): void {
  sixRows(false, depth, a, aRow, b, c, cRow);
}

/** Six rows, sums that go on. */
export function tileProductMore6(depth: i32, a: usize, aRow: i32, b: usize, c: usize, cRow: i32): void {
  sixRows(true, depth, a, aRow, b, c, cRow);
}

/** Four rows, sums from zero. */
export function tileProduct4(depth: i32, a: usize, aRow: i32, b: usize, c: usize, cRow: i32): void {
  fourRows(false, depth, a, aRow, b, c, cRow);
}

/** Four rows, sums that go on. */
export function tileProductMore4(depth: i32, a: usize, aRow: i32, b: usize, c: usize, cRow: i32): void {
  fourRows(true, depth, a, aRow, b, c, cRow);
}

// @ts-ignore: decorator
@inline
function sixRows(more: bool, depth: i32, a: usize, aRow: i32, b: usize, c: usize, cRow: i32): void {
  const zero = f32x4.splat(0);
  const to1 = c + cRow;
  const to2 = to1 + cRow;
  const to3 = to2 + cRow;
  const to4 = to3 + cRow;
  const to5 = to4 + cRow;
  let p0 = zero, p1 = zero, p2 = zero, p3 = zero;
  let q0 = zero, q1 = zero, q2 = zero, q3 = zero;
  let r0 = zero, r1 = zero, r2 = zero, r3 = zero;
  let t0 = zero, t1 = zero, t2 = zero, t3 = zero;
  let u0 = zero, u1 = zero, u2 = zero, u3 = zero;
  let v0 = zero, v1 = zero, v2 = zero, v3 = zero;
  if (more) {
    p0 = v128.load(c);
    p1 = v128.load(c, 16);
    q0 = v128.load(to1);
    q1 = v128.load(to1, 16);
    r0 = v128.load(to2);
    r1 = v128.load(to2, 16);
    t0 = v128.load(to3);
    t1 = v128.load(to3, 16);
    u0 = v128.load(to4);
    u1 = v128.load(to4, 16);
    v0 = v128.load(to5);
    v1 = v128.load(to5, 16);
    if (NR == 16) {
      p2 = v128.load(c, 32);
      p3 = v128.load(c, 48);
      q2 = v128.load(to1, 32);
      q3 = v128.load(to1, 48);
      r2 = v128.load(to2, 32);
      r3 = v128.load(to2, 48);
      t2 = v128.load(to3, 32);
      t3 = v128.load(to3, 48);
      u2 = v128.load(to4, 32);
      u3 = v128.load(to4, 48);
      v2 = v128.load(to5, 32);
      v3 = v128.load(to5, 48);
    }
  }
  const aRow2 = 2 * aRow;
  const aRow3 = 3 * aRow;
  const aRow4 = 4 * aRow;
  const aRow5 = 5 * aRow;
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
    p0 = MADD(s, w0, p0);
    p1 = MADD(s, w1, p1);
    if (NR == 16) {
      p2 = MADD(s, w2, p2);
      p3 = MADD(s, w3, p3);
    }
    s = v128.load32_splat(a + aRow);
    q0 = MADD(s, w0, q0);
    q1 = MADD(s, w1, q1);
    if (NR == 16) {
      q2 = MADD(s, w2, q2);
      q3 = MADD(s, w3, q3);
    }
    s = v128.load32_splat(a + aRow2);
    r0 = MADD(s, w0, r0);
    r1 = MADD(s, w1, r1);
    if (NR == 16) {
      r2 = MADD(s, w2, r2);
      r3 = MADD(s, w3, r3);
    }
    s = v128.load32_splat(a + aRow3);
    t0 = MADD(s, w0, t0);
    t1 = MADD(s, w1, t1);
    if (NR == 16) {
      t2 = MADD(s, w2, t2);
      t3 = MADD(s, w3, t3);
    }
    s = v128.load32_splat(a + aRow4);
    u0 = MADD(s, w0, u0);
    u1 = MADD(s, w1, u1);
    if (NR == 16) {
      u2 = MADD(s, w2, u2);
      u3 = MADD(s, w3, u3);
    }
    s = v128.load32_splat(a + aRow5);
    v0 = MADD(s, w0, v0);
    v1 = MADD(s, w1, v1);
    if (NR == 16) {
      v2 = MADD(s, w2, v2);
      v3 = MADD(s, w3, v3);
    }
    a += 4;
    b += 4 * NR;
  } while (--depth);
  v128.store(c, p1, 16);
  v128.store(c, p0);
  if (NR == 16) {
    v128.store(c, p3, 48);
    v128.store(c, p2, 32);
  }
  v128.store(to1, q1, 16);
  v128.store(to1, q0);
  if (NR == 16) {
    v128.store(to1, q3, 48);
    v128.store(to1, q2, 32);
  }
  v128.store(to2, r1, 16);
  v128.store(to2, r0);
  if (NR == 16) {
    v128.store(to2, r3, 48);
    v128.store(to2, r2, 32);
  }
  v128.store(to3, t1, 16);
  v128.store(to3, t0);
  if (NR == 16) {
    v128.store(to3, t3, 48);
    v128.store(to3, t2, 32);
  }
  v128.store(to4, u1, 16);
  v128.store(to4, u0);
  if (NR == 16) {
    v128.store(to4, u3, 48);
    v128.store(to4, u2, 32);
  }
  v128.store(to5, v1, 16);
  v128.store(to5, v0);
  if (NR == 16) {
    v128.store(to5, v3, 48);
    v128.store(to5, v2, 32);
  }
}

// @ts-ignore: decorator
@inline
function fourRows(more: bool, depth: i32, a: usize, aRow: i32, b: usize, c: usize, cRow: i32): void {
  const zero = f32x4.splat(0);
  const to1 = c + cRow;
  const to2 = to1 + cRow;
  const to3 = to2 + cRow;
  let p0 = zero, p1 = zero, p2 = zero, p3 = zero;
  let q0 = zero, q1 = zero, q2 = zero, q3 = zero;
  let r0 = zero, r1 = zero, r2 = zero, r3 = zero;
  let t0 = zero, t1 = zero, t2 = zero, t3 = zero;
  if (more) {
    p0 = v128.load(c);
    p1 = v128.load(c, 16);
    q0 = v128.load(to1);
    q1 = v128.load(to1, 16);
    r0 = v128.load(to2);
    r1 = v128.load(to2, 16);
    t0 = v128.load(to3);
    t1 = v128.load(to3, 16);
    if (NR == 16) {
      p2 = v128.load(c, 32);
      p3 = v128.load(c, 48);
      q2 = v128.load(to1, 32);
      q3 = v128.load(to1, 48);
      r2 = v128.load(to2, 32);
      r3 = v128.load(to2, 48);
      t2 = v128.load(to3, 32);
      t3 = v128.load(to3, 48);
    }
  }
  const aRow2 = 2 * aRow;
  const aRow3 = 3 * aRow;
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
    p0 = MADD(s, w0, p0);
    p1 = MADD(s, w1, p1);
    if (NR == 16) {
      p2 = MADD(s, w2, p2);
      p3 = MADD(s, w3, p3);
    }
    s = v128.load32_splat(a + aRow);
    q0 = MADD(s, w0, q0);
    q1 = MADD(s, w1, q1);
    if (NR == 16) {
      q2 = MADD(s, w2, q2);
      q3 = MADD(s, w3, q3);
    }
    s = v128.load32_splat(a + aRow2);
    r0 = MADD(s, w0, r0);
    r1 = MADD(s, w1, r1);
    if (NR == 16) {
      r2 = MADD(s, w2, r2);
      r3 = MADD(s, w3, r3);
    }
    s = v128.load32_splat(a + aRow3);
    t0 = MADD(s, w0, t0);
    t1 = MADD(s, w1, t1);
    if (NR == 16) {
      t2 = MADD(s, w2, t2);
      t3 = MADD(s, w3, t3);
    }
    a += 4;
    b += 4 * NR;
  } while (--depth);
  v128.store(c, p1, 16);
  v128.store(c, p0);
  if (NR == 16) {
    v128.store(c, p3, 48);
    v128.store(c, p2, 32);
  }
  v128.store(to1, q1, 16);
  v128.store(to1, q0);
  if (NR == 16) {
    v128.store(to1, q3, 48);
    v128.store(to1, q2, 32);
  }
  v128.store(to2, r1, 16);
  v128.store(to2, r0);
  if (NR == 16) {
    v128.store(to2, r3, 48);
    v128.store(to2, r2, 32);
  }
  v128.store(to3, t1, 16);
  v128.store(to3, t0);
  if (NR == 16) {
    v128.store(to3, t3, 48);
    v128.store(to3, t2, 32);
  }
}
