// Batch-norm, backward (Ioffe & Szegedy 2015): two passes, because each gradient needs two sums over all.

import { maskPixels } from './activation';
import { addTotals } from './channels';
import { imageGap, rowAddress, rowGap, rowsPerBlock, zeroHalo } from './halo';
import { MADD, channelStride } from './lanes';

/** Pixels whose sum is kept in float32 before it goes to the float64 total. */
const BLOCK: i32 = 64;

/** Adds the sums of m and m*(z - mean) over n pixels of 16 channels to `totals`. */
function sumsOf16(m: usize, z: usize, mean: usize, step: usize, n: i32, totals: usize, lanes: i32): void {
  const k0 = v128.load(mean);
  const k1 = v128.load(mean, 16);
  const k2 = v128.load(mean, 32);
  const k3 = v128.load(mean, 48);
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let q0 = s0;
  let q1 = s0;
  let q2 = s0;
  let q3 = s0;
  if (n > 0) do {
    const m0 = v128.load(m);
    const m1 = v128.load(m, 16);
    const m2 = v128.load(m, 32);
    const m3 = v128.load(m, 48);
    s0 = f32x4.add(s0, m0);
    s1 = f32x4.add(s1, m1);
    s2 = f32x4.add(s2, m2);
    s3 = f32x4.add(s3, m3);
    q0 = MADD(m0, f32x4.sub(v128.load(z), k0), q0);
    q1 = MADD(m1, f32x4.sub(v128.load(z, 16), k1), q1);
    q2 = MADD(m2, f32x4.sub(v128.load(z, 32), k2), q2);
    q3 = MADD(m3, f32x4.sub(v128.load(z, 48), k3), q3);
    m += step;
    z += step;
  } while (--n);
  addTotals(totals, 4, s0, q0);
  addTotals(totals + 64, 4, s1, q1);
  addTotals(totals + 128, 4, s2, q2);
  addTotals(totals + 192, lanes - 12, s3, q3);
}

/** The same for 4 channels. */
function sumsOf4(m: usize, z: usize, mean: usize, step: usize, n: i32, totals: usize, lanes: i32): void {
  const k = v128.load(mean);
  let s = f32x4.splat(0);
  let q = s;
  if (n > 0) do {
    const v = v128.load(m);
    s = f32x4.add(s, v);
    q = MADD(v, f32x4.sub(v128.load(z), k), q);
    m += step;
    z += step;
  } while (--n);
  addTotals(totals, lanes, s, q);
}

/**
 * m = (g + g2?) where y > 0 (if relu), written to `masked`; sums f64 [C][2] = (sum m, sum m*xhat),
 * xhat = (z - mean)*invStd. Only y has a halo; masked may be g. A block of pixels is masked and then summed
 * while it is still in the first-level cache.
 */
export function batchNormBackwardReduce(
  g: usize, g2: usize, y: usize, yHalo: i32, z: usize, coefficients: usize, masked: usize,
  N: i32, H: i32, W: i32, C: i32, relu: i32, sums: usize,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const pixels = N * H * W;
  const mean = coefficients + 2 * step;
  const invStd = coefficients + 3 * step;
  memory.fill(sums, 0, <usize>C << 4);
  for (let p = 0; p < pixels; p += BLOCK) {
    const n = min(BLOCK, pixels - p);
    const skip = <usize>p * step;
    maskPixels(g, g2, relu ? y : 0, yHalo, masked, p, n, H, W, step);
    let c = 0;
    for (; c + 16 <= S; c += 16) {
      const o = <usize>c << 2;
      sumsOf16(masked + skip + o, z + skip + o, mean + o, step, n, sums + (<usize>c << 4), C - c);
    }
    for (; c < S; c += 4) {
      const o = <usize>c << 2;
      sumsOf4(masked + skip + o, z + skip + o, mean + o, step, n, sums + (<usize>c << 4), C - c);
    }
  }
  for (let c = 0; c < C; c++) {
    const p = sums + (<usize>c << 4);
    store<f64>(p, load<f64>(p, 8) * <f64>load<f32>(invStd + (<usize>c << 2)), 8);
  }
}

/**
 * Fills rows 4 and 5 of `coefficients`: B = -scale*invStd*(sum m*xhat)*factor and D = -scale*(sum m)*factor; padding
 * lanes 0. They go through memory because V8's revectorization crashes on lanes that are put together one by one.
 */
function fillBackwardRows(coefficients: usize, step: usize, sums: usize, C: i32, S: i32, factor: f64): void {
  for (let c = 0; c < S; c++) {
    const k = coefficients + (<usize>c << 2);
    let b: f32 = 0;
    let d: f32 = 0;
    if (c < C) {
      const p = sums + (<usize>c << 4);
      const scale = load<f32>(k);
      b = -(scale * load<f32>(k + 3 * step) * <f32>(load<f64>(p, 8) * factor));
      d = -(scale * <f32>(load<f64>(p) * factor));
    }
    store<f32>(k + 4 * step, b);
    store<f32>(k + 5 * step, d);
  }
}

/** dz = scale*m + (B*(z - mean) + D) over `rows` rows of 16 channels from channel c on; h: the first row's place in its image. */
function backwardRows16(
  m: usize, z: usize, dz: usize, dzRow: usize, dzImage: usize, h: i32, H: i32, W: i32, rows: i32,
  coefficients: usize, step: usize, c: i32,
): void {
  const k = coefficients + (<usize>c << 2);
  const a0 = v128.load(k);
  const a1 = v128.load(k, 16);
  const a2 = v128.load(k, 32);
  const a3 = v128.load(k, 48);
  const k0 = v128.load(k + 2 * step);
  const k1 = v128.load(k + 2 * step, 16);
  const k2 = v128.load(k + 2 * step, 32);
  const k3 = v128.load(k + 2 * step, 48);
  const b0 = v128.load(k + 4 * step);
  const b1 = v128.load(k + 4 * step, 16);
  const b2 = v128.load(k + 4 * step, 32);
  const b3 = v128.load(k + 4 * step, 48);
  const d0 = v128.load(k + 5 * step);
  const d1 = v128.load(k + 5 * step, 16);
  const d2 = v128.load(k + 5 * step, 32);
  const d3 = v128.load(k + 5 * step, 48);
  if (rows > 0 && W > 0) do {
    let n = W;
    do {
      const y0 = MADD(v128.load(m), a0, MADD(f32x4.sub(v128.load(z), k0), b0, d0));
      const y1 = MADD(v128.load(m, 16), a1, MADD(f32x4.sub(v128.load(z, 16), k1), b1, d1));
      const y2 = MADD(v128.load(m, 32), a2, MADD(f32x4.sub(v128.load(z, 32), k2), b2, d2));
      const y3 = MADD(v128.load(m, 48), a3, MADD(f32x4.sub(v128.load(z, 48), k3), b3, d3));
      v128.store(dz, y0);
      v128.store(dz, y1, 16);
      v128.store(dz, y2, 32);
      v128.store(dz, y3, 48);
      m += step;
      z += step;
      dz += step;
    } while (--n);
    dz += dzRow;
    if (++h == H) {
      h = 0;
      dz += dzImage;
    }
  } while (--rows);
}

/** The same for 4 channels. */
function backwardRows4(
  m: usize, z: usize, dz: usize, dzRow: usize, dzImage: usize, h: i32, H: i32, W: i32, rows: i32,
  coefficients: usize, step: usize, c: i32,
): void {
  const a = v128.load(coefficients + (<usize>c << 2));
  const k = v128.load(coefficients + (<usize>c << 2) + 2 * step);
  const b = v128.load(coefficients + (<usize>c << 2) + 4 * step);
  const d = v128.load(coefficients + (<usize>c << 2) + 5 * step);
  if (rows > 0 && W > 0) do {
    let n = W;
    do {
      v128.store(dz, MADD(v128.load(m), a, MADD(f32x4.sub(v128.load(z), k), b, d)));
      m += step;
      z += step;
      dz += step;
    } while (--n);
    dz += dzRow;
    if (++h == H) {
      h = 0;
      dz += dzImage;
    }
  } while (--rows);
}

/**
 * dz = scale*(m - (sum m)/P - xhat*(sum m*xhat)/P) with P = `pixels`, dGamma[C] = sum m*xhat,
 * dBeta[C] = sum m. m = `masked` and z have no halo; dz's halo becomes 0. The term in z keeps the form
 * (z - mean), because B*z + (D - B*mean) would cancel when the mean is large. Uses rows 4 and 5 of
 * `coefficients` f32 [6][S] as scratch.
 */
export function batchNormBackwardApply(
  masked: usize, z: usize, coefficients: usize, sums: usize, pixels: i32, dz: usize, dzHalo: i32,
  N: i32, H: i32, W: i32, C: i32, dGamma: usize, dBeta: usize,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const dzRow = rowGap(dzHalo, step);
  const dzImage = imageGap(dzHalo, W, step);
  const rows = N * H;
  const block = rowsPerBlock(W);
  zeroHalo(dz, dzHalo, N, H, W, S);
  fillBackwardRows(coefficients, step, sums, C, S, 1 / <f64>pixels);
  for (let from = 0; from < rows; from += block) {
    const n = min(block, rows - from);
    const skip = <usize>(from * W) * step;
    const to = rowAddress(dz, dzHalo, from, H, W, step);
    const h = from % H;
    let c = 0;
    for (; c + 16 <= S; c += 16) {
      const o = <usize>c << 2;
      backwardRows16(
        masked + skip + o, z + skip + o, to + o, dzRow, dzImage, h, H, W, n, coefficients, step, c,
      );
    }
    for (; c < S; c += 4) {
      const o = <usize>c << 2;
      backwardRows4(
        masked + skip + o, z + skip + o, to + o, dzRow, dzImage, h, H, W, n, coefficients, step, c,
      );
    }
  }
  for (let c = 0; c < C; c++) {
    const p = sums + (<usize>c << 4);
    store<f32>(dBeta + (<usize>c << 2), <f32>load<f64>(p));
    store<f32>(dGamma + (<usize>c << 2), <f32>load<f64>(p, 8));
  }
}
