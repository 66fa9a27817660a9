// Batch-norm, backward (Ioffe & Szegedy 2015): two passes, because each gradient needs two sums over all.

import { maskPixels } from './activation';
import { imageGap, rowAddress, rowGap, rowsPerBlock, zeroHalo } from './halo';
import { MADD, channelStride } from './lanes';
import { pixelsPerPass, products16, products4 } from './pair-sums';

/**
 * m = (g + g2?) where y > 0 (if relu), written to `masked`; sums f64 [C][2] = (sum m, sum m*(z - mean)),
 * added to what is there if `accumulate`. Only y has a halo; masked may be g. A block of pixels is masked and then summed
 * while it is still in the first-level cache.
 */
export function batchNormBackwardReduce(
  g: usize, g2: usize, y: usize, yHalo: i32, z: usize, coefficients: usize, masked: usize,
  N: i32, H: i32, W: i32, C: i32, relu: i32, sums: usize, accumulate: i32,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const pixels = N * H * W;
  const mean = coefficients + 2 * step;
  if (!accumulate) memory.fill(sums, 0, <usize>C << 4);
  const pass = pixelsPerPass(S);
  for (let p = 0; p < pixels; p += pass) {
    const n = min(pass, pixels - p);
    const skip = <usize>p * step;
    maskPixels(g, g2, relu ? y : 0, yHalo, masked, p, n, H, W, step);
    let c = 0;
    for (; c + 16 <= S; c += 16) {
      const o = <usize>c << 2;
      products16(masked + skip + o, z + skip + o, mean + o, step, n, sums + (<usize>c << 4), C - c);
    }
    for (; c < S; c += 4) {
      const o = <usize>c << 2;
      products4(masked + skip + o, z + skip + o, mean + o, step, n, sums + (<usize>c << 4), C - c);
    }
  }
}

/**
 * Fills rows 4 and 5 of `coefficients`: B = -scale*invStd^2*(sum m*(z - mean))*factor and D = -scale*(sum m)*factor; padding
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
      const invStd = <f64>load<f32>(k + 3 * step);
      b = -(scale * <f32>invStd * <f32>(load<f64>(p, 8) * invStd * factor));
      d = -(scale * <f32>(load<f64>(p) * factor));
    }
    store<f32>(k + 4 * step, b);
    store<f32>(k + 5 * step, d);
  }
}

/**
 * dz = scale*m + (B*(z - mean) + D) over `rows` rows of 16 channels from channel c on; h is the first row's place in
 * its image.
 */
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
      v128.store(dz, y1, 16);
      v128.store(dz, y0);
      v128.store(dz, y3, 48);
      v128.store(dz, y2, 32);
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
 * dz = scale*(m - (sum m)/P - xhat*(sum m*xhat)/P) with P = `pixels` and `sums` over all of them, dGamma[C] = sum m*xhat
 * and dBeta[C] = sum m from `ownSums` over the pixels here. m = `masked` and z have no halo; dz's halo becomes 0. The term in z keeps the form
 * (z - mean), because B*z + (D - B*mean) would cancel when the mean is large. Uses rows 4 and 5 of
 * `coefficients` f32 [6][S] as scratch.
 */
export function batchNormBackwardApply(
  masked: usize, z: usize, coefficients: usize, sums: usize, ownSums: usize, pixels: i32, dz: usize, dzHalo: i32,
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
    const p = ownSums + (<usize>c << 4);
    store<f32>(dBeta + (<usize>c << 2), <f32>load<f64>(p));
    const o = <usize>c << 2;
    store<f32>(dGamma + o, <f32>(load<f64>(p, 8) * <f64>load<f32>(coefficients + 3 * step + o)));
  }
}
