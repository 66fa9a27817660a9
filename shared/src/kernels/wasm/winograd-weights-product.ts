// The products of the Winograd weight gradient: input channels x one panel of NR output channels, for one element.
//
// du[channel][column] (+)= sum over the tiles, in order, of v[tile][channel] * p[tile][column], in one accumulator for
// each output, which begins at zero: what a block of tiles adds is rounded by itself.
//
// v: vTile bytes from tile to tile. p: [tiles][NR]. du: [channels][NR]. See conv-tile.ts for why the code has this
// shape; all loads of du come before its stores, or V8 does not pair them.
import { MADD, NR, SIX_ROWS } from './lanes';

/** du [lanes][NR] = V^T P, or += when `add`; lanes: a multiple of 4. */
export function productOfChannels(
  add: bool, tiles: i32, v: usize, vTile: i32, p: usize, du: usize, lanes: i32,
): void {
  while (lanes > 0) {
    // Every even number from 4 on is a sum of sixes and fours.
    let height = 4;
    if (SIX_ROWS && lanes != 4 && lanes != 8) {
      height = 6;
      if (add) tileAddSum6(tiles, v, vTile, p, du);
      else tileSum6(tiles, v, vTile, p, du);
    } else if (add) tileAddSum4(tiles, v, vTile, p, du);
    else tileSum4(tiles, v, vTile, p, du);
    v += 4 * height;
    du += 4 * NR * height;
    lanes -= height;
  }
}

/** Six channels. */
export function tileSum6(tiles: i32, v: usize, vTile: i32, p: usize, du: usize): void {
  sixChannels(false, tiles, v, vTile, p, du);
}

/** Six channels, added to what is there. */
export function tileAddSum6(tiles: i32, v: usize, vTile: i32, p: usize, du: usize): void {
  sixChannels(true, tiles, v, vTile, p, du);
}

/** Four channels. */
export function tileSum4(tiles: i32, v: usize, vTile: i32, p: usize, du: usize): void {
  fourChannels(false, tiles, v, vTile, p, du);
}

/** Four channels, added to what is there. */
export function tileAddSum4(tiles: i32, v: usize, vTile: i32, p: usize, du: usize): void {
  fourChannels(true, tiles, v, vTile, p, du);
}

// @ts-ignore: decorator
@inline
function sixChannels(add: bool, tiles: i32, v: usize, vTile: i32, p: usize, du: usize): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  let e0 = zero, e1 = zero, e2 = zero, e3 = zero;
  let f0 = zero, f1 = zero, f2 = zero, f3 = zero;
  if (tiles > 0) do {
    const w0 = v128.load(p);
    const w1 = v128.load(p, 16);
    let w2 = zero, w3 = zero;
    if (NR == 16) {
      w2 = v128.load(p, 32);
      w3 = v128.load(p, 48);
    }
    let s: v128;
    s = v128.load32_splat(v);
    a0 = MADD(s, w0, a0);
    a1 = MADD(s, w1, a1);
    if (NR == 16) {
      a2 = MADD(s, w2, a2);
      a3 = MADD(s, w3, a3);
    }
    s = v128.load32_splat(v, 4);
    b0 = MADD(s, w0, b0);
    b1 = MADD(s, w1, b1);
    if (NR == 16) {
      b2 = MADD(s, w2, b2);
      b3 = MADD(s, w3, b3);
    }
    s = v128.load32_splat(v, 8);
    c0 = MADD(s, w0, c0);
    c1 = MADD(s, w1, c1);
    if (NR == 16) {
      c2 = MADD(s, w2, c2);
      c3 = MADD(s, w3, c3);
    }
    s = v128.load32_splat(v, 12);
    d0 = MADD(s, w0, d0);
    d1 = MADD(s, w1, d1);
    if (NR == 16) {
      d2 = MADD(s, w2, d2);
      d3 = MADD(s, w3, d3);
    }
    s = v128.load32_splat(v, 16);
    e0 = MADD(s, w0, e0);
    e1 = MADD(s, w1, e1);
    if (NR == 16) {
      e2 = MADD(s, w2, e2);
      e3 = MADD(s, w3, e3);
    }
    s = v128.load32_splat(v, 20);
    f0 = MADD(s, w0, f0);
    f1 = MADD(s, w1, f1);
    if (NR == 16) {
      f2 = MADD(s, w2, f2);
      f3 = MADD(s, w3, f3);
    }
    v += vTile;
    p += 4 * NR;
  } while (--tiles);
  if (add) {
    a0 = f32x4.add(v128.load(du), a0);
    a1 = f32x4.add(v128.load(du, 16), a1);
    b0 = f32x4.add(v128.load(du, 4 * NR), b0);
    b1 = f32x4.add(v128.load(du, 4 * NR + 16), b1);
    c0 = f32x4.add(v128.load(du, 2 * 4 * NR), c0);
    c1 = f32x4.add(v128.load(du, 2 * 4 * NR + 16), c1);
    d0 = f32x4.add(v128.load(du, 3 * 4 * NR), d0);
    d1 = f32x4.add(v128.load(du, 3 * 4 * NR + 16), d1);
    e0 = f32x4.add(v128.load(du, 4 * 4 * NR), e0);
    e1 = f32x4.add(v128.load(du, 4 * 4 * NR + 16), e1);
    f0 = f32x4.add(v128.load(du, 5 * 4 * NR), f0);
    f1 = f32x4.add(v128.load(du, 5 * 4 * NR + 16), f1);
    if (NR == 16) {
      a2 = f32x4.add(v128.load(du, 32), a2);
      a3 = f32x4.add(v128.load(du, 48), a3);
      b2 = f32x4.add(v128.load(du, 4 * NR + 32), b2);
      b3 = f32x4.add(v128.load(du, 4 * NR + 48), b3);
      c2 = f32x4.add(v128.load(du, 2 * 4 * NR + 32), c2);
      c3 = f32x4.add(v128.load(du, 2 * 4 * NR + 48), c3);
      d2 = f32x4.add(v128.load(du, 3 * 4 * NR + 32), d2);
      d3 = f32x4.add(v128.load(du, 3 * 4 * NR + 48), d3);
      e2 = f32x4.add(v128.load(du, 4 * 4 * NR + 32), e2);
      e3 = f32x4.add(v128.load(du, 4 * 4 * NR + 48), e3);
      f2 = f32x4.add(v128.load(du, 5 * 4 * NR + 32), f2);
      f3 = f32x4.add(v128.load(du, 5 * 4 * NR + 48), f3);
    }
  }
  v128.store(du, a1, 16);
  v128.store(du, a0);
  if (NR == 16) {
    v128.store(du, a3, 48);
    v128.store(du, a2, 32);
  }
  v128.store(du, b1, 4 * NR + 16);
  v128.store(du, b0, 4 * NR);
  if (NR == 16) {
    v128.store(du, b3, 4 * NR + 48);
    v128.store(du, b2, 4 * NR + 32);
  }
  v128.store(du, c1, 2 * 4 * NR + 16);
  v128.store(du, c0, 2 * 4 * NR);
  if (NR == 16) {
    v128.store(du, c3, 2 * 4 * NR + 48);
    v128.store(du, c2, 2 * 4 * NR + 32);
  }
  v128.store(du, d1, 3 * 4 * NR + 16);
  v128.store(du, d0, 3 * 4 * NR);
  if (NR == 16) {
    v128.store(du, d3, 3 * 4 * NR + 48);
    v128.store(du, d2, 3 * 4 * NR + 32);
  }
  v128.store(du, e1, 4 * 4 * NR + 16);
  v128.store(du, e0, 4 * 4 * NR);
  if (NR == 16) {
    v128.store(du, e3, 4 * 4 * NR + 48);
    v128.store(du, e2, 4 * 4 * NR + 32);
  }
  v128.store(du, f1, 5 * 4 * NR + 16);
  v128.store(du, f0, 5 * 4 * NR);
  if (NR == 16) {
    v128.store(du, f3, 5 * 4 * NR + 48);
    v128.store(du, f2, 5 * 4 * NR + 32);
  }
}

// @ts-ignore: decorator
@inline
function fourChannels(add: bool, tiles: i32, v: usize, vTile: i32, p: usize, du: usize): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  if (tiles > 0) do {
    const w0 = v128.load(p);
    const w1 = v128.load(p, 16);
    let w2 = zero, w3 = zero;
    if (NR == 16) {
      w2 = v128.load(p, 32);
      w3 = v128.load(p, 48);
    }
    let s: v128;
    s = v128.load32_splat(v);
    a0 = MADD(s, w0, a0);
    a1 = MADD(s, w1, a1);
    if (NR == 16) {
      a2 = MADD(s, w2, a2);
      a3 = MADD(s, w3, a3);
    }
    s = v128.load32_splat(v, 4);
    b0 = MADD(s, w0, b0);
    b1 = MADD(s, w1, b1);
    if (NR == 16) {
      b2 = MADD(s, w2, b2);
      b3 = MADD(s, w3, b3);
    }
    s = v128.load32_splat(v, 8);
    c0 = MADD(s, w0, c0);
    c1 = MADD(s, w1, c1);
    if (NR == 16) {
      c2 = MADD(s, w2, c2);
      c3 = MADD(s, w3, c3);
    }
    s = v128.load32_splat(v, 12);
    d0 = MADD(s, w0, d0);
    d1 = MADD(s, w1, d1);
    if (NR == 16) {
      d2 = MADD(s, w2, d2);
      d3 = MADD(s, w3, d3);
    }
    v += vTile;
    p += 4 * NR;
  } while (--tiles);
  if (add) {
    a0 = f32x4.add(v128.load(du), a0);
    a1 = f32x4.add(v128.load(du, 16), a1);
    b0 = f32x4.add(v128.load(du, 4 * NR), b0);
    b1 = f32x4.add(v128.load(du, 4 * NR + 16), b1);
    c0 = f32x4.add(v128.load(du, 2 * 4 * NR), c0);
    c1 = f32x4.add(v128.load(du, 2 * 4 * NR + 16), c1);
    d0 = f32x4.add(v128.load(du, 3 * 4 * NR), d0);
    d1 = f32x4.add(v128.load(du, 3 * 4 * NR + 16), d1);
    if (NR == 16) {
      a2 = f32x4.add(v128.load(du, 32), a2);
      a3 = f32x4.add(v128.load(du, 48), a3);
      b2 = f32x4.add(v128.load(du, 4 * NR + 32), b2);
      b3 = f32x4.add(v128.load(du, 4 * NR + 48), b3);
      c2 = f32x4.add(v128.load(du, 2 * 4 * NR + 32), c2);
      c3 = f32x4.add(v128.load(du, 2 * 4 * NR + 48), c3);
      d2 = f32x4.add(v128.load(du, 3 * 4 * NR + 32), d2);
      d3 = f32x4.add(v128.load(du, 3 * 4 * NR + 48), d3);
    }
  }
  v128.store(du, a1, 16);
  v128.store(du, a0);
  if (NR == 16) {
    v128.store(du, a3, 48);
    v128.store(du, a2, 32);
  }
  v128.store(du, b1, 4 * NR + 16);
  v128.store(du, b0, 4 * NR);
  if (NR == 16) {
    v128.store(du, b3, 4 * NR + 48);
    v128.store(du, b2, 4 * NR + 32);
  }
  v128.store(du, c1, 2 * 4 * NR + 16);
  v128.store(du, c0, 2 * 4 * NR);
  if (NR == 16) {
    v128.store(du, c3, 2 * 4 * NR + 48);
    v128.store(du, c2, 2 * 4 * NR + 32);
  }
  v128.store(du, d1, 3 * 4 * NR + 16);
  v128.store(du, d0, 3 * 4 * NR);
  if (NR == 16) {
    v128.store(du, d3, 3 * 4 * NR + 48);
    v128.store(du, d2, 3 * 4 * NR + 32);
  }
}
