// The products of the Winograd passes forward and backward to the input: transformed tiles x one panel of NR output
// channels, for one element.
//
// m[tile][column] (+)= sum over the input channels, in order, of v[tile][channel] * u[channel][column], in one
// accumulator for each output. A sum that is cut, and goes on from what was stored, has the same bits.
//
// v: vTile bytes from tile to tile. u: [depth][NR]. m: [tiles][NR]. See conv-tile.ts for why the code has this shape.
import { MADD, NR, SIX_ROWS } from './lanes';

/**
 * Rows of v that are read and of m that are written for `count` tiles: the register tiles are 6 and 4 rows high, and
 * what lies behind the last tile is nobody's.
 */
// @ts-ignore: decorator
@inline
export function productRows(count: i32): i32 {
  return (count + 3) & ~3;
}

/** m [count][NR] = v u, or m += v u when `more`; productRows(count) rows of v and m have to exist. */
export function productOfTiles(
  more: bool, count: i32, depth: i32, v: usize, vTile: i32, u: usize, m: usize,
): void {
  // Every even number from 4 on is a sum of sixes and fours.
  let left = SIX_ROWS ? max(4, (count + 1) & ~1) : productRows(count);
  while (left > 0) {
    let height = 4;
    if (SIX_ROWS && left != 4 && left != 8) {
      height = 6;
      if (more) tileMore6(depth, v, vTile, u, m);
      else tileFirst6(depth, v, vTile, u, m);
    } else if (more) tileMore4(depth, v, vTile, u, m);
    else tileFirst4(depth, v, vTile, u, m);
    v += height * vTile;
    m += 4 * NR * height;
    left -= height;
  }
}

/** Six tiles, a sum from zero. */
export function tileFirst6(depth: i32, v: usize, vTile: i32, u: usize, m: usize): void {
  sixTiles(false, depth, v, vTile, u, m);
}

/** Six tiles, a sum that goes on. */
export function tileMore6(depth: i32, v: usize, vTile: i32, u: usize, m: usize): void {
  sixTiles(true, depth, v, vTile, u, m);
}

/** Four tiles, a sum from zero. */
export function tileFirst4(depth: i32, v: usize, vTile: i32, u: usize, m: usize): void {
  fourTiles(false, depth, v, vTile, u, m);
}

/** Four tiles, a sum that goes on. */
export function tileMore4(depth: i32, v: usize, vTile: i32, u: usize, m: usize): void {
  fourTiles(true, depth, v, vTile, u, m);
}

// @ts-ignore: decorator
@inline
function sixTiles(more: bool, depth: i32, v: usize, vTile: i32, u: usize, m: usize): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  let e0 = zero, e1 = zero, e2 = zero, e3 = zero;
  let f0 = zero, f1 = zero, f2 = zero, f3 = zero;
  if (more) {
    a0 = v128.load(m);
    a1 = v128.load(m, 16);
    b0 = v128.load(m, 4 * NR);
    b1 = v128.load(m, 4 * NR + 16);
    c0 = v128.load(m, 2 * 4 * NR);
    c1 = v128.load(m, 2 * 4 * NR + 16);
    d0 = v128.load(m, 3 * 4 * NR);
    d1 = v128.load(m, 3 * 4 * NR + 16);
    e0 = v128.load(m, 4 * 4 * NR);
    e1 = v128.load(m, 4 * 4 * NR + 16);
    f0 = v128.load(m, 5 * 4 * NR);
    f1 = v128.load(m, 5 * 4 * NR + 16);
    if (NR == 16) {
      a2 = v128.load(m, 32);
      a3 = v128.load(m, 48);
      b2 = v128.load(m, 4 * NR + 32);
      b3 = v128.load(m, 4 * NR + 48);
      c2 = v128.load(m, 2 * 4 * NR + 32);
      c3 = v128.load(m, 2 * 4 * NR + 48);
      d2 = v128.load(m, 3 * 4 * NR + 32);
      d3 = v128.load(m, 3 * 4 * NR + 48);
      e2 = v128.load(m, 4 * 4 * NR + 32);
      e3 = v128.load(m, 4 * 4 * NR + 48);
      f2 = v128.load(m, 5 * 4 * NR + 32);
      f3 = v128.load(m, 5 * 4 * NR + 48);
    }
  }
  const vTile2 = 2 * vTile;
  const vTile3 = 3 * vTile;
  const vTile4 = 4 * vTile;
  const vTile5 = 5 * vTile;
  if (depth > 0) do {
    const w0 = v128.load(u);
    const w1 = v128.load(u, 16);
    let w2 = zero, w3 = zero;
    if (NR == 16) {
      w2 = v128.load(u, 32);
      w3 = v128.load(u, 48);
    }
    let s: v128;
    s = v128.load32_splat(v);
    a0 = MADD(s, w0, a0);
    a1 = MADD(s, w1, a1);
    if (NR == 16) {
      a2 = MADD(s, w2, a2);
      a3 = MADD(s, w3, a3);
    }
    s = v128.load32_splat(v + vTile);
    b0 = MADD(s, w0, b0);
    b1 = MADD(s, w1, b1);
    if (NR == 16) {
      b2 = MADD(s, w2, b2);
      b3 = MADD(s, w3, b3);
    }
    s = v128.load32_splat(v + vTile2);
    c0 = MADD(s, w0, c0);
    c1 = MADD(s, w1, c1);
    if (NR == 16) {
      c2 = MADD(s, w2, c2);
      c3 = MADD(s, w3, c3);
    }
    s = v128.load32_splat(v + vTile3);
    d0 = MADD(s, w0, d0);
    d1 = MADD(s, w1, d1);
    if (NR == 16) {
      d2 = MADD(s, w2, d2);
      d3 = MADD(s, w3, d3);
    }
    s = v128.load32_splat(v + vTile4);
    e0 = MADD(s, w0, e0);
    e1 = MADD(s, w1, e1);
    if (NR == 16) {
      e2 = MADD(s, w2, e2);
      e3 = MADD(s, w3, e3);
    }
    s = v128.load32_splat(v + vTile5);
    f0 = MADD(s, w0, f0);
    f1 = MADD(s, w1, f1);
    if (NR == 16) {
      f2 = MADD(s, w2, f2);
      f3 = MADD(s, w3, f3);
    }
    v += 4;
    u += 4 * NR;
  } while (--depth);
  v128.store(m, a1, 16);
  v128.store(m, a0);
  if (NR == 16) {
    v128.store(m, a3, 48);
    v128.store(m, a2, 32);
  }
  v128.store(m, b1, 4 * NR + 16);
  v128.store(m, b0, 4 * NR);
  if (NR == 16) {
    v128.store(m, b3, 4 * NR + 48);
    v128.store(m, b2, 4 * NR + 32);
  }
  v128.store(m, c1, 2 * 4 * NR + 16);
  v128.store(m, c0, 2 * 4 * NR);
  if (NR == 16) {
    v128.store(m, c3, 2 * 4 * NR + 48);
    v128.store(m, c2, 2 * 4 * NR + 32);
  }
  v128.store(m, d1, 3 * 4 * NR + 16);
  v128.store(m, d0, 3 * 4 * NR);
  if (NR == 16) {
    v128.store(m, d3, 3 * 4 * NR + 48);
    v128.store(m, d2, 3 * 4 * NR + 32);
  }
  v128.store(m, e1, 4 * 4 * NR + 16);
  v128.store(m, e0, 4 * 4 * NR);
  if (NR == 16) {
    v128.store(m, e3, 4 * 4 * NR + 48);
    v128.store(m, e2, 4 * 4 * NR + 32);
  }
  v128.store(m, f1, 5 * 4 * NR + 16);
  v128.store(m, f0, 5 * 4 * NR);
  if (NR == 16) {
    v128.store(m, f3, 5 * 4 * NR + 48);
    v128.store(m, f2, 5 * 4 * NR + 32);
  }
}

// @ts-ignore: decorator
@inline
function fourTiles(more: bool, depth: i32, v: usize, vTile: i32, u: usize, m: usize): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  if (more) {
    a0 = v128.load(m);
    a1 = v128.load(m, 16);
    b0 = v128.load(m, 4 * NR);
    b1 = v128.load(m, 4 * NR + 16);
    c0 = v128.load(m, 2 * 4 * NR);
    c1 = v128.load(m, 2 * 4 * NR + 16);
    d0 = v128.load(m, 3 * 4 * NR);
    d1 = v128.load(m, 3 * 4 * NR + 16);
    if (NR == 16) {
      a2 = v128.load(m, 32);
      a3 = v128.load(m, 48);
      b2 = v128.load(m, 4 * NR + 32);
      b3 = v128.load(m, 4 * NR + 48);
      c2 = v128.load(m, 2 * 4 * NR + 32);
      c3 = v128.load(m, 2 * 4 * NR + 48);
      d2 = v128.load(m, 3 * 4 * NR + 32);
      d3 = v128.load(m, 3 * 4 * NR + 48);
    }
  }
  const vTile2 = 2 * vTile;
  const vTile3 = 3 * vTile;
  if (depth > 0) do {
    const w0 = v128.load(u);
    const w1 = v128.load(u, 16);
    let w2 = zero, w3 = zero;
    if (NR == 16) {
      w2 = v128.load(u, 32);
      w3 = v128.load(u, 48);
    }
    let s: v128;
    s = v128.load32_splat(v);
    a0 = MADD(s, w0, a0);
    a1 = MADD(s, w1, a1);
    if (NR == 16) {
      a2 = MADD(s, w2, a2);
      a3 = MADD(s, w3, a3);
    }
    s = v128.load32_splat(v + vTile);
    b0 = MADD(s, w0, b0);
    b1 = MADD(s, w1, b1);
    if (NR == 16) {
      b2 = MADD(s, w2, b2);
      b3 = MADD(s, w3, b3);
    }
    s = v128.load32_splat(v + vTile2);
    c0 = MADD(s, w0, c0);
    c1 = MADD(s, w1, c1);
    if (NR == 16) {
      c2 = MADD(s, w2, c2);
      c3 = MADD(s, w3, c3);
    }
    s = v128.load32_splat(v + vTile3);
    d0 = MADD(s, w0, d0);
    d1 = MADD(s, w1, d1);
    if (NR == 16) {
      d2 = MADD(s, w2, d2);
      d3 = MADD(s, w3, d3);
    }
    v += 4;
    u += 4 * NR;
  } while (--depth);
  v128.store(m, a1, 16);
  v128.store(m, a0);
  if (NR == 16) {
    v128.store(m, a3, 48);
    v128.store(m, a2, 32);
  }
  v128.store(m, b1, 4 * NR + 16);
  v128.store(m, b0, 4 * NR);
  if (NR == 16) {
    v128.store(m, b3, 4 * NR + 48);
    v128.store(m, b2, 4 * NR + 32);
  }
  v128.store(m, c1, 2 * 4 * NR + 16);
  v128.store(m, c0, 2 * 4 * NR);
  if (NR == 16) {
    v128.store(m, c3, 2 * 4 * NR + 48);
    v128.store(m, c2, 2 * 4 * NR + 32);
  }
  v128.store(m, d1, 3 * 4 * NR + 16);
  v128.store(m, d0, 3 * 4 * NR);
  if (NR == 16) {
    v128.store(m, d3, 3 * 4 * NR + 48);
    v128.store(m, d2, 3 * 4 * NR + 32);
  }
}
