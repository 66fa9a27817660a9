// Batch-norm, forward (Ioffe & Szegedy 2015).
//
// Memory bound, so every pass reads each tensor once: 16 channels at a time in four neighbouring vectors,
// which V8 can pair, then the rest 4 at a time. Both do the same to each element.

import { imageGap, rowAddress, rowGap, rowsPerBlock, zeroHalo } from './halo';
import { MADD, channelStride } from './lanes';
import { moments16, moments4, pixelsPerPass } from './pair-sums';

/**
 * moments f64 [C][2] = (mean, sum of squared deviations from it) of z [total][S], gathered in several calls: this
 * one adds pixels `from` .. `from + pixels`, the one that ends at `total` finishes. One pass over x - k, k being the first pixel, so that a large mean does not cancel:
 * mean = k + sum/P, M2 = squares - sum^2/P (Chan, Golub & LeVeque 1983).
 */
export function batchNormMoments(z: usize, from: i32, pixels: i32, total: i32, C: i32, moments: usize): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  if (from == 0) memory.fill(moments, 0, <usize>C << 4);
  if (total == 0) return;
  const pass = pixelsPerPass(S);
  for (let p = 0; p < pixels; p += pass) {
    const n = min(pass, pixels - p);
    const x = z + <usize>(from + p) * step;
    let c = 0;
    for (; c + 16 <= S; c += 16) {
      const o = <usize>c << 2;
      moments16(x + o, z + o, step, n, moments + (<usize>c << 4), C - c);
    }
    for (; c < S; c += 4) {
      const o = <usize>c << 2;
      moments4(x + o, z + o, step, n, moments + (<usize>c << 4), C - c);
    }
  }
  if (from + pixels < total) return;
  for (let c = 0; c < C; c++) {
    const pair = moments + (<usize>c << 4);
    const sum = load<f64>(pair);
    const squares = load<f64>(pair, 8);
    store<f64>(pair, <f64>load<f32>(z + (<usize>c << 2)) + sum / <f64>total);
    store<f64>(pair, max<f64>(0, squares - (sum * sum) / <f64>total), 8);
  }
}

/** Column c of coefficients f32 [4][S]: scale, shift, mean, 1/sqrt(variance + epsilon). */
function storeCoefficients(p: usize, step: usize, mean: f64, invStd: f64, gamma: f32, beta: f32): void {
  const scale = <f32>(<f64>gamma * invStd);
  store<f32>(p, scale);
  // From the rounded scale: what z*scale loses at a large mean, shift then gives back.
  store<f32>(p + step, <f32>(<f64>beta - mean * <f64>scale));
  store<f32>(p + 2 * step, <f32>mean);
  store<f32>(p + 3 * step, <f32>invStd);
}

/** coefficients f32 [4][S] from moments f64 [C][2] over `pixels`, with the biased variance. */
export function batchNormCoefficients(
  moments: usize, pixels: i32, gamma: usize, beta: usize, epsilon: f32, C: i32, coefficients: usize,
): void {
  const step = <usize>channelStride(C) << 2;
  memory.fill(coefficients, 0, 4 * step);
  for (let c = 0; c < C; c++) {
    const o = <usize>c << 2;
    const variance = load<f64>(moments + (<usize>c << 4), 8) / <f64>pixels;
    const invStd = 1 / sqrt<f64>(variance + <f64>epsilon);
    const mean = load<f64>(moments + (<usize>c << 4));
    storeCoefficients(coefficients + o, step, mean, invStd, load<f32>(gamma + o), load<f32>(beta + o));
  }
}

/** coefficients f32 [4][S] from running statistics f32 [C]. */
export function batchNormRunningCoefficients(
  runningMean: usize, runningVariance: usize, gamma: usize, beta: usize, epsilon: f32, C: i32, coefficients: usize,
): void {
  const step = <usize>channelStride(C) << 2;
  memory.fill(coefficients, 0, 4 * step);
  for (let c = 0; c < C; c++) {
    const o = <usize>c << 2;
    const invStd = 1 / sqrt<f64>(<f64>load<f32>(runningVariance + o) + <f64>epsilon);
    const mean = <f64>load<f32>(runningMean + o);
    storeCoefficients(coefficients + o, step, mean, invStd, load<f32>(gamma + o), load<f32>(beta + o));
  }
}

/** One row of 16 channels: y = max(z*scale + shift, floor). */
// @ts-ignore: decorator
@inline
function applyRow16(z: usize, k: usize, step: usize, y: usize, W: i32, floor: v128): void {
  const a0 = v128.load(k);
  const a1 = v128.load(k, 16);
  const a2 = v128.load(k, 32);
  const a3 = v128.load(k, 48);
  const b0 = v128.load(k + step);
  const b1 = v128.load(k + step, 16);
  const b2 = v128.load(k + step, 32);
  const b3 = v128.load(k + step, 48);
  if (W > 0) do {
    const y0 = f32x4.pmax(MADD(v128.load(z), a0, b0), floor);
    const y1 = f32x4.pmax(MADD(v128.load(z, 16), a1, b1), floor);
    const y2 = f32x4.pmax(MADD(v128.load(z, 32), a2, b2), floor);
    const y3 = f32x4.pmax(MADD(v128.load(z, 48), a3, b3), floor);
    v128.store(y, y1, 16);
    v128.store(y, y0);
    v128.store(y, y3, 48);
    v128.store(y, y2, 32);
    z += step;
    y += step;
  } while (--W);
}

/** The same with a residual r: y = max((z*scale + shift) + r, floor). */
// @ts-ignore: decorator
@inline
function applyResidualRow16(z: usize, k: usize, step: usize, r: usize, y: usize, W: i32, floor: v128): void {
  const a0 = v128.load(k);
  const a1 = v128.load(k, 16);
  const a2 = v128.load(k, 32);
  const a3 = v128.load(k, 48);
  const b0 = v128.load(k + step);
  const b1 = v128.load(k + step, 16);
  const b2 = v128.load(k + step, 32);
  const b3 = v128.load(k + step, 48);
  if (W > 0) do {
    const y0 = f32x4.pmax(f32x4.add(MADD(v128.load(z), a0, b0), v128.load(r)), floor);
    const y1 = f32x4.pmax(f32x4.add(MADD(v128.load(z, 16), a1, b1), v128.load(r, 16)), floor);
    const y2 = f32x4.pmax(f32x4.add(MADD(v128.load(z, 32), a2, b2), v128.load(r, 32)), floor);
    const y3 = f32x4.pmax(f32x4.add(MADD(v128.load(z, 48), a3, b3), v128.load(r, 48)), floor);
    v128.store(y, y1, 16);
    v128.store(y, y0);
    v128.store(y, y3, 48);
    v128.store(y, y2, 32);
    z += step;
    r += step;
    y += step;
  } while (--W);
}

/** One row of 4 channels, with or without a residual. */
// @ts-ignore: decorator
@inline
function applyRow4(z: usize, k: usize, step: usize, r: usize, y: usize, W: i32, floor: v128): void {
  const a = v128.load(k);
  const b = v128.load(k + step);
  if (W > 0) do {
    let v = MADD(v128.load(z), a, b);
    if (r) {
      v = f32x4.add(v, v128.load(r));
      r += step;
    }
    v128.store(y, f32x4.pmax(v, floor));
    z += step;
    y += step;
  } while (--W);
}

/**
 * y = relu?(z*scale + shift (+ residual)), with y's halo zeroed. z [N][H][W][S]; residual 0 means absent.
 * pmax(x, 0) is x unless x < 0: a NaN stays a NaN.
 */
export function batchNormApply(
  z: usize, coefficients: usize, residual: usize, residualHalo: i32, y: usize, yHalo: i32,
  N: i32, H: i32, W: i32, C: i32, relu: i32,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const floor = f32x4.splat(relu ? 0 : -Infinity);
  const yRow = <usize>W * step + rowGap(yHalo, step);
  const yImage = imageGap(yHalo, W, step);
  const rRow = residual ? <usize>W * step + rowGap(residualHalo, step) : 0;
  const rImage = residual ? imageGap(residualHalo, W, step) : 0;
  const rows = N * H;
  const block = rowsPerBlock(W);
  zeroHalo(y, yHalo, N, H, W, S);
  for (let from = 0; from < rows; from += block) {
    const n = min(block, rows - from);
    const zFrom = z + <usize>(from * W) * step;
    const yFrom = rowAddress(y, yHalo, from, H, W, step);
    const rFrom = residual ? rowAddress(residual, residualHalo, from, H, W, step) : 0;
    const hFrom = from % H;
    let c = 0;
    while (c < S) {
      const o = <usize>c << 2;
      const k = coefficients + o;
      let zp = zFrom + o;
      let yp = yFrom + o;
      let rp = residual ? rFrom + o : 0;
      let h = hFrom;
      const wide = c + 16 <= S;
      for (let i = 0; i < n; i++) {
        if (!wide) applyRow4(zp, k, step, rp, yp, W, floor);
        else if (residual) applyResidualRow16(zp, k, step, rp, yp, W, floor);
        else applyRow16(zp, k, step, yp, W, floor);
        zp += <usize>W * step;
        yp += yRow;
        rp += rRow;
        if (++h == H) {
          h = 0;
          yp += yImage;
          rp += rImage;
        }
      }
      c += wide ? 16 : 4;
    }
  }
}
