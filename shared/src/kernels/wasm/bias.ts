// Bias with an optional relu, for convolutions and dense layers without batch-norm.

import { maskRun } from './activation';
import { laneMask, loadChannels, storeChannels } from './channels';
import { imageGap, rowAddress, rowGap, rowsPerBlock, zeroHalo } from './halo';
import { channelStride } from './lanes';

/** Pixels whose sum is kept in float32 before it goes to the float64 total. */
const BLOCK: i32 = 64;

/** One row of 16 channels: y = max(z + bias, floor). */
// @ts-ignore: decorator
@inline
function biasRow16(z: usize, bias: usize, step: usize, y: usize, W: i32, floor: v128): void {
  const b0 = v128.load(bias);
  const b1 = v128.load(bias, 16);
  const b2 = v128.load(bias, 32);
  const b3 = v128.load(bias, 48);
  if (W > 0) do {
    const y0 = f32x4.pmax(f32x4.add(v128.load(z), b0), floor);
    const y1 = f32x4.pmax(f32x4.add(v128.load(z, 16), b1), floor);
    const y2 = f32x4.pmax(f32x4.add(v128.load(z, 32), b2), floor);
    const y3 = f32x4.pmax(f32x4.add(v128.load(z, 48), b3), floor);
    v128.store(y, y1, 16);
    v128.store(y, y0);
    v128.store(y, y3, 48);
    v128.store(y, y2, 32);
    z += step;
    y += step;
  } while (--W);
}

/** One row of up to 4 channels; lanes that are no channel become 0 whatever z holds there. */
// @ts-ignore: decorator
@inline
function biasRow4(z: usize, bias: usize, lanes: i32, step: usize, y: usize, W: i32, floor: v128): void {
  const b = loadChannels(bias, lanes);
  const mask = laneMask(lanes);
  if (W > 0) do {
    v128.store(y, v128.and(f32x4.pmax(f32x4.add(v128.load(z), b), floor), mask));
    z += step;
    y += step;
  } while (--W);
}

/**
 * y = relu?(z + bias), bias [C]; y's halo and padding lanes become 0. z [N][H][W][S] may hold anything in its
 * padding lanes. y may be z when yHalo = 0.
 */
export function biasForward(
  z: usize, bias: usize, y: usize, yHalo: i32, N: i32, H: i32, W: i32, C: i32, relu: i32,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const floor = f32x4.splat(relu ? 0 : -Infinity);
  const rows = N * H;
  const block = rowsPerBlock(W);
  zeroHalo(y, yHalo, N, H, W, S);
  for (let from = 0; from < rows; from += block) {
    const n = min(block, rows - from);
    const zFrom = z + <usize>(from * W) * step;
    const yFrom = rowAddress(y, yHalo, from, H, W, step);
    const hFrom = from % H;
    let c = 0;
    while (c < S) {
      const o = <usize>c << 2;
      let zp = zFrom + o;
      let yp = yFrom + o;
      let h = hFrom;
      const wide = c + 16 <= C;
      for (let i = 0; i < n; i++) {
        if (wide) biasRow16(zp, bias + o, step, yp, W, floor);
        else biasRow4(zp, bias + o, C - c, step, yp, W, floor);
        zp += <usize>W * step;
        yp += <usize>W * step + rowGap(yHalo, step);
        if (++h == H) {
          h = 0;
          yp += imageGap(yHalo, W, step);
        }
      }
      c += wide ? 16 : 4;
    }
  }
}

/** The first two lanes of s as float64. */
// @ts-ignore: decorator
@inline
function lowHalf(s: v128): v128 {
  return f64x2.promote_low_f32x4(s);
}

/** The last two lanes of s as float64. */
// @ts-ignore: decorator
@inline
function highHalf(s: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f64>(s, s, 1, 1));
}

/** Four float64 totals as float32. */
// @ts-ignore: decorator
@inline
function narrowed(low: v128, high: v128): v128 {
  return v128.shuffle<f64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
}

/** Sums of 16 channels over all pixels of `x`, whose rows are W pixels and then a gap. */
function sums16(x: usize, row: usize, image: usize, N: i32, H: i32, W: i32, step: usize, out: usize): void {
  let l0 = f64x2.splat(0);
  let l1 = l0;
  let l2 = l0;
  let l3 = l0;
  let h0 = l0;
  let h1 = l0;
  let h2 = l0;
  let h3 = l0;
  for (let n = 0; n < N; n++) {
    for (let h = 0; h < H; h++) {
      for (let w = 0; w < W; w += BLOCK) {
        let s0 = f32x4.splat(0);
        let s1 = s0;
        let s2 = s0;
        let s3 = s0;
        let count = min(BLOCK, W - w);
        if (count > 0) do {
          s0 = f32x4.add(s0, v128.load(x));
          s1 = f32x4.add(s1, v128.load(x, 16));
          s2 = f32x4.add(s2, v128.load(x, 32));
          s3 = f32x4.add(s3, v128.load(x, 48));
          x += step;
        } while (--count);
        l0 = f64x2.add(l0, lowHalf(s0));
        h0 = f64x2.add(h0, highHalf(s0));
        l1 = f64x2.add(l1, lowHalf(s1));
        h1 = f64x2.add(h1, highHalf(s1));
        l2 = f64x2.add(l2, lowHalf(s2));
        h2 = f64x2.add(h2, highHalf(s2));
        l3 = f64x2.add(l3, lowHalf(s3));
        h3 = f64x2.add(h3, highHalf(s3));
      }
      x += row;
    }
    x += image;
  }
  v128.store(out, narrowed(l1, h1), 16);
  v128.store(out, narrowed(l0, h0));
  v128.store(out, narrowed(l3, h3), 48);
  v128.store(out, narrowed(l2, h2), 32);
}

/** The same for up to 4 channels. */
function sums4(
  x: usize, row: usize, image: usize, N: i32, H: i32, W: i32, step: usize, out: usize, lanes: i32,
): void {
  let low = f64x2.splat(0);
  let high = low;
  for (let n = 0; n < N; n++) {
    for (let h = 0; h < H; h++) {
      for (let w = 0; w < W; w += BLOCK) {
        let s = f32x4.splat(0);
        let count = min(BLOCK, W - w);
        if (count > 0) do {
          s = f32x4.add(s, v128.load(x));
          x += step;
        } while (--count);
        low = f64x2.add(low, lowHalf(s));
        high = f64x2.add(high, highHalf(s));
      }
      x += row;
    }
    x += image;
  }
  storeChannels(out, narrowed(low, high), lanes);
}

/**
 * dz = (g + g2?) where y > 0 (if relu), with dz's halo zeroed; dBias[C] = sum of dz over the pixels.
 * g and g2 (0: absent) have no halo. dz may be g when dzHalo = 0.
 */
export function biasBackward(
  g: usize, g2: usize, y: usize, yHalo: i32, dz: usize, dzHalo: i32, N: i32, H: i32, W: i32, C: i32,
  relu: i32, dBias: usize,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  zeroHalo(dz, dzHalo, N, H, W, S);
  for (let row = 0; row < N * H; row++) {
    const skip = <usize>(row * W) * step;
    const yp = relu ? rowAddress(y, yHalo, row, H, W, step) : 0;
    maskRun(g + skip, g2 ? g2 + skip : 0, yp, rowAddress(dz, dzHalo, row, H, W, step), W * S);
  }
  const inside = rowAddress(dz, dzHalo, 0, H, W, step);
  const gap = rowGap(dzHalo, step);
  const skip = imageGap(dzHalo, W, step);
  let c = 0;
  for (; c + 16 <= C; c += 16) {
    sums16(inside + (<usize>c << 2), gap, skip, N, H, W, step, dBias + (<usize>c << 2));
  }
  for (; c < C; c += 4) {
    sums4(inside + (<usize>c << 2), gap, skip, N, H, W, step, dBias + (<usize>c << 2), C - c);
  }
}
