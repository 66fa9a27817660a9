// The two sums per channel of batch-norm: forward (x - k) and (x - k)^2, backward m and m*(x - k).
//
// float32 over blocks of 64 pixels, float64 across blocks: a fixed order, whatever is summed per call.

import { addTotals } from './channels';
import { MADD } from './lanes';

/** Pixels whose sum is kept in float32 before it goes to the float64 total. */
export const BLOCK: i32 = 64;

/**
 * Pixels, a multiple of BLOCK, that all channels are summed over before the next pixels: about 16 KiB, so that
 * what is read twice is read from the first-level cache.
 */
export function pixelsPerPass(S: i32): i32 {
  return max(BLOCK, (4096 / S) & ~(BLOCK - 1));
}

/** Both sums of channels 0 and 1 (or 2 and 3) of a quad, interleaved for the float64 pairs (sum, sum). */
// @ts-ignore: decorator
@inline
function first(s: v128, q: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f32>(s, q, 0, 4, 0, 4));
}
// @ts-ignore: decorator
@inline
function second(s: v128, q: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f32>(s, q, 1, 5, 1, 5));
}
// @ts-ignore: decorator
@inline
function third(s: v128, q: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f32>(s, q, 2, 6, 2, 6));
}
// @ts-ignore: decorator
@inline
function fourth(s: v128, q: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f32>(s, q, 3, 7, 3, 7));
}

/**
 * Adds the sums over n pixels of 16 channels to `totals` f64 [lanes][2], 13 <= lanes. The totals wait in locals,
 * and their memory holds the partial sums of a block: V8 pairs vectors only where neighbouring ones are stored.
 */
// @ts-ignore: decorator
@inline
function pairSums16(
  MOMENTS: bool, m: usize, x: usize, k: usize, step: usize, n: i32, totals: usize, lanes: i32,
): void {
  const zero = f32x4.splat(0);
  const k0 = v128.load(k);
  const k1 = v128.load(k, 16);
  const k2 = v128.load(k, 32);
  const k3 = v128.load(k, 48);
  let t0 = v128.load(totals);
  let t1 = v128.load(totals, 16);
  let t2 = v128.load(totals, 32);
  let t3 = v128.load(totals, 48);
  let t4 = v128.load(totals, 64);
  let t5 = v128.load(totals, 80);
  let t6 = v128.load(totals, 96);
  let t7 = v128.load(totals, 112);
  let t8 = v128.load(totals, 128);
  let t9 = v128.load(totals, 144);
  let t10 = v128.load(totals, 160);
  let t11 = v128.load(totals, 176);
  let t12 = v128.load(totals, 192);
  let t13 = lanes > 13 ? v128.load(totals, 208) : zero;
  let t14 = lanes > 14 ? v128.load(totals, 224) : zero;
  let t15 = lanes > 15 ? v128.load(totals, 240) : zero;
  while (n > 0) {
    let count = min(n, BLOCK);
    n -= count;
    let s0 = zero;
    let s1 = zero;
    let s2 = zero;
    let s3 = zero;
    let q0 = zero;
    let q1 = zero;
    let q2 = zero;
    let q3 = zero;
    if (count > 0) do {
      const e0 = f32x4.sub(v128.load(x), k0);
      const e1 = f32x4.sub(v128.load(x, 16), k1);
      const e2 = f32x4.sub(v128.load(x, 32), k2);
      const e3 = f32x4.sub(v128.load(x, 48), k3);
      const m0 = MOMENTS ? e0 : v128.load(m);
      const m1 = MOMENTS ? e1 : v128.load(m, 16);
      const m2 = MOMENTS ? e2 : v128.load(m, 32);
      const m3 = MOMENTS ? e3 : v128.load(m, 48);
      s0 = f32x4.add(s0, m0);
      s1 = f32x4.add(s1, m1);
      s2 = f32x4.add(s2, m2);
      s3 = f32x4.add(s3, m3);
      q0 = MADD(m0, e0, q0);
      q1 = MADD(m1, e1, q1);
      q2 = MADD(m2, e2, q2);
      q3 = MADD(m3, e3, q3);
      if (!MOMENTS) m += step;
      x += step;
    } while (--count);
    v128.store(totals, s1, 16);
    v128.store(totals, s0);
    v128.store(totals, s3, 48);
    v128.store(totals, s2, 32);
    v128.store(totals, q1, 80);
    v128.store(totals, q0, 64);
    v128.store(totals, q3, 112);
    v128.store(totals, q2, 96);
    s0 = v128.load(totals);
    s1 = v128.load(totals, 16);
    s2 = v128.load(totals, 32);
    s3 = v128.load(totals, 48);
    q0 = v128.load(totals, 64);
    q1 = v128.load(totals, 80);
    q2 = v128.load(totals, 96);
    q3 = v128.load(totals, 112);
    t0 = f64x2.add(t0, first(s0, q0));
    t1 = f64x2.add(t1, second(s0, q0));
    t2 = f64x2.add(t2, third(s0, q0));
    t3 = f64x2.add(t3, fourth(s0, q0));
    t4 = f64x2.add(t4, first(s1, q1));
    t5 = f64x2.add(t5, second(s1, q1));
    t6 = f64x2.add(t6, third(s1, q1));
    t7 = f64x2.add(t7, fourth(s1, q1));
    t8 = f64x2.add(t8, first(s2, q2));
    t9 = f64x2.add(t9, second(s2, q2));
    t10 = f64x2.add(t10, third(s2, q2));
    t11 = f64x2.add(t11, fourth(s2, q2));
    t12 = f64x2.add(t12, first(s3, q3));
    t13 = f64x2.add(t13, second(s3, q3));
    t14 = f64x2.add(t14, third(s3, q3));
    t15 = f64x2.add(t15, fourth(s3, q3));
  }
  v128.store(totals, t1, 16);
  v128.store(totals, t0);
  v128.store(totals, t3, 48);
  v128.store(totals, t2, 32);
  v128.store(totals, t5, 80);
  v128.store(totals, t4, 64);
  v128.store(totals, t7, 112);
  v128.store(totals, t6, 96);
  v128.store(totals, t9, 144);
  v128.store(totals, t8, 128);
  v128.store(totals, t11, 176);
  v128.store(totals, t10, 160);
  v128.store(totals, t12, 192);
  if (lanes > 13) v128.store(totals, t13, 208);
  if (lanes > 14) v128.store(totals, t14, 224);
  if (lanes > 15) v128.store(totals, t15, 240);
}

/** The same for up to 4 channels. */
// @ts-ignore: decorator
@inline
function pairSums4(
  MOMENTS: bool, m: usize, x: usize, k: usize, step: usize, n: i32, totals: usize, lanes: i32,
): void {
  const kept = v128.load(k);
  while (n > 0) {
    let count = min(n, BLOCK);
    n -= count;
    let s = f32x4.splat(0);
    let q = s;
    if (count > 0) do {
      const e = f32x4.sub(v128.load(x), kept);
      const d = MOMENTS ? e : v128.load(m);
      s = f32x4.add(s, d);
      q = MADD(d, e, q);
      if (!MOMENTS) m += step;
      x += step;
    } while (--count);
    addTotals(totals, lanes, s, q);
  }
}

/** Adds the sums of (x - k) and (x - k)^2 over n pixels of 16 channels to `totals`. */
export function moments16(x: usize, k: usize, step: usize, n: i32, totals: usize, lanes: i32): void {
  pairSums16(true, 0, x, k, step, n, totals, lanes);
}

/** The same for up to 4 channels. */
export function moments4(x: usize, k: usize, step: usize, n: i32, totals: usize, lanes: i32): void {
  pairSums4(true, 0, x, k, step, n, totals, lanes);
}

/** Adds the sums of m and m*(x - k) over n pixels of 16 channels to `totals`. */
export function products16(m: usize, x: usize, k: usize, step: usize, n: i32, totals: usize, lanes: i32): void {
  pairSums16(false, m, x, k, step, n, totals, lanes);
}

/** The same for up to 4 channels. */
export function products4(m: usize, x: usize, k: usize, step: usize, n: i32, totals: usize, lanes: i32): void {
  pairSums4(false, m, x, k, step, n, totals, lanes);
}
