// Optimizer updates over slices of the flat vectors. The outputs are other buffers than the inputs, so a slice that
// was computed by a thread that then died is simply computed again.

import { MADD } from './lanes';

/** Four elements, or one in lane 0: so the last elements see the same arithmetic as all others. */
// @ts-ignore: decorator
@inline
function loadLanes(p: usize, one: bool): v128 {
  return one ? v128.load_zero<u32>(p) : v128.load(p);
}

// @ts-ignore: decorator
@inline
function storeLanes(p: usize, v: v128, one: bool): void {
  if (one) v128.store_lane<u32>(p, v, 0);
  else v128.store(p, v);
}

/** g*scale + decay*w. */
// @ts-ignore: decorator
@inline
function gradient(w: v128, g: v128, scale: v128, decay: v128): v128 {
  return MADD(w, decay, f32x4.mul(g, scale));
}

/** An exponential average: keep*old + take*x. */
// @ts-ignore: decorator
@inline
function average(old: v128, x: v128, keep: v128, take: v128): v128 {
  return MADD(old, keep, f32x4.mul(x, take));
}

/** w - lr*( (m/correction1) / (sqrt(v/correction2) + epsilon) + decay*w ), with the corrections' inverses. */
// @ts-ignore: decorator
@inline
function adamStep(w: v128, m: v128, v: v128, i1: v128, i2: v128, epsilon: v128, decay: v128, minusLr: v128): v128 {
  const root = f32x4.add(f32x4.sqrt(f32x4.mul(v, i2)), epsilon);
  return MADD(MADD(w, decay, f32x4.div(f32x4.mul(m, i1), root)), minusLr, w);
}

/**
 * Adam (Kingma & Ba 2015), with the decay in the gradient, or AdamW (Loshchilov & Hutter 2019) when `decoupled`.
 * correction1 = 1 - beta1^t, correction2 = 1 - beta2^t. n elements; pointers are 4-aligned.
 */
export function adamUpdate(
  w: usize, g: usize, m: usize, v: usize, wOut: usize, mOut: usize, vOut: usize, n: i32,
  gradientScale: f32, lr: f32, beta1: f32, beta2: f32, epsilon: f32, correction1: f32, correction2: f32,
  weightDecay: f32, decoupled: i32,
): void {
  const scale = f32x4.splat(gradientScale);
  const coupledDecay = f32x4.splat(decoupled ? 0 : weightDecay);
  const decay = f32x4.splat(decoupled ? weightDecay : 0);
  const keep1 = f32x4.splat(beta1);
  const take1 = f32x4.splat(1 - beta1);
  const keep2 = f32x4.splat(beta2);
  const take2 = f32x4.splat(1 - beta2);
  const i1 = f32x4.splat(1 / correction1);
  const i2 = f32x4.splat(1 / correction2);
  const eps = f32x4.splat(epsilon);
  const minusLr = f32x4.splat(-lr);
  let k = n >> 3;
  if (k > 0) do {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 16);
    const g0 = gradient(w0, v128.load(g), scale, coupledDecay);
    const g1 = gradient(w1, v128.load(g, 16), scale, coupledDecay);
    const m0 = average(v128.load(m), g0, keep1, take1);
    const m1 = average(v128.load(m, 16), g1, keep1, take1);
    const v0 = average(v128.load(v), f32x4.mul(g0, g0), keep2, take2);
    const v1 = average(v128.load(v, 16), f32x4.mul(g1, g1), keep2, take2);
    const u0 = adamStep(w0, m0, v0, i1, i2, eps, decay, minusLr);
    const u1 = adamStep(w1, m1, v1, i1, i2, eps, decay, minusLr);
    v128.store(mOut, m1, 16);
    v128.store(mOut, m0);
    v128.store(vOut, v1, 16);
    v128.store(vOut, v0);
    v128.store(wOut, u1, 16);
    v128.store(wOut, u0);
    w += 32;
    g += 32;
    m += 32;
    v += 32;
    wOut += 32;
    mOut += 32;
    vOut += 32;
  } while (--k);
  for (k = n & 7; k > 0; k--) {
    const w0 = loadLanes(w, true);
    const g0 = gradient(w0, loadLanes(g, true), scale, coupledDecay);
    const m0 = average(loadLanes(m, true), g0, keep1, take1);
    const v0 = average(loadLanes(v, true), f32x4.mul(g0, g0), keep2, take2);
    storeLanes(mOut, m0, true);
    storeLanes(vOut, v0, true);
    storeLanes(wOut, adamStep(w0, m0, v0, i1, i2, eps, decay, minusLr), true);
    w += 4;
    g += 4;
    m += 4;
    v += 4;
    wOut += 4;
    mOut += 4;
    vOut += 4;
  }
}

/** One or four elements of `sgdUpdate`. */
// @ts-ignore: decorator
@inline
function sgdLanes(
  one: bool, w: usize, g: usize, m: usize, wOut: usize, mOut: usize,
  scale: v128, decay: v128, keep: v128, minusLr: v128, nesterov: i32,
): void {
  const w0 = loadLanes(w, one);
  const g0 = gradient(w0, loadLanes(g, one), scale, decay);
  const m0 = MADD(loadLanes(m, one), keep, g0);
  storeLanes(mOut, m0, one);
  storeLanes(wOut, MADD(nesterov ? MADD(m0, keep, g0) : m0, minusLr, w0), one);
}

/**
 * Momentum as PyTorch has it: g' = g*gradientScale + weightDecay*w; m' = momentum*m + g';
 * w' = w - lr*(nesterov ? g' + momentum*m' : m'). n elements; pointers are 4-aligned.
 */
export function sgdUpdate(
  w: usize, g: usize, m: usize, wOut: usize, mOut: usize, n: i32,
  gradientScale: f32, lr: f32, momentum: f32, nesterov: i32, weightDecay: f32,
): void {
  const scale = f32x4.splat(gradientScale);
  const decay = f32x4.splat(weightDecay);
  const keep = f32x4.splat(momentum);
  const minusLr = f32x4.splat(-lr);
  let k = n >> 2;
  if (k > 0) do {
    sgdLanes(false, w, g, m, wOut, mOut, scale, decay, keep, minusLr, nesterov);
    w += 16;
    g += 16;
    m += 16;
    wOut += 16;
    mOut += 16;
  } while (--k);
  for (k = n & 3; k > 0; k--) {
    sgdLanes(true, w, g, m, wOut, mOut, scale, decay, keep, minusLr, nesterov);
    w += 4;
    g += 4;
    m += 4;
    wOut += 4;
    mOut += 4;
  }
}
