// Activations and additions over whole tensors, and the masking that all backward passes begin with.

import { imageGap, rowAddress, rowGap, zeroHalo } from './halo';
import { channelStride } from './lanes';

/** out = (g + g2?) where y > 0, over `floats` neighbouring elements; TWO and MASK are compile-time. */
// @ts-ignore: decorator
@inline
function maskLoop(TWO: bool, MASK: bool, g: usize, g2: usize, y: usize, out: usize, floats: i32): void {
  const zero = f32x4.splat(0);
  let n = floats >> 4;
  if (n > 0) do {
    let m0 = v128.load(g);
    let m1 = v128.load(g, 16);
    let m2 = v128.load(g, 32);
    let m3 = v128.load(g, 48);
    if (TWO) {
      m0 = f32x4.add(m0, v128.load(g2));
      m1 = f32x4.add(m1, v128.load(g2, 16));
      m2 = f32x4.add(m2, v128.load(g2, 32));
      m3 = f32x4.add(m3, v128.load(g2, 48));
      g2 += 64;
    }
    if (MASK) {
      m0 = v128.and(m0, f32x4.gt(v128.load(y), zero));
      m1 = v128.and(m1, f32x4.gt(v128.load(y, 16), zero));
      m2 = v128.and(m2, f32x4.gt(v128.load(y, 32), zero));
      m3 = v128.and(m3, f32x4.gt(v128.load(y, 48), zero));
      y += 64;
    }
    v128.store(out, m1, 16);
    v128.store(out, m0);
    v128.store(out, m3, 48);
    v128.store(out, m2, 32);
    g += 64;
    out += 64;
  } while (--n);
  n = (floats >> 2) & 3;
  if (n > 0) do {
    let m = v128.load(g);
    if (TWO) {
      m = f32x4.add(m, v128.load(g2));
      g2 += 16;
    }
    if (MASK) {
      m = v128.and(m, f32x4.gt(v128.load(y), zero));
      y += 16;
    }
    v128.store(out, m);
    g += 16;
    out += 16;
  } while (--n);
}

/** out = (g + g2) where y > 0 over `floats` elements, a multiple of 4; g2 = 0 or y = 0: without it. out may be g. */
export function maskRun(g: usize, g2: usize, y: usize, out: usize, floats: i32): void {
  if (g2 && y) maskLoop(true, true, g, g2, y, out, floats);
  else if (y) maskLoop(false, true, g, g2, y, out, floats);
  else if (g2) maskLoop(true, false, g, g2, y, out, floats);
  else if (out != g) memory.copy(out, g, <usize>floats << 2);
}

/**
 * The same over `count` pixels from pixel `first` of the batch on, where y has a halo and g, g2 and out
 * have none. y = 0: no mask.
 */
export function maskPixels(
  g: usize, g2: usize, y: usize, yHalo: i32, out: usize, first: i32, count: i32, H: i32, W: i32, step: usize,
): void {
  const floats = <i32>(step >> 2);
  while (count > 0) {
    const row = yHalo ? first / W : 0;
    const x = first - row * W;
    const n = y && yHalo ? min(count, W - x) : count;
    const skip = <usize>first * step;
    const yp = y ? rowAddress(y, yHalo, row, H, W, step) + <usize>x * step : 0;
    maskRun(g + skip, g2 ? g2 + skip : 0, yp, out + skip, n * floats);
    first += n;
    count -= n;
  }
}

/** y = max(x, 0), a NaN stays a NaN; y's halo becomes 0. */
export function reluForward(x: usize, xHalo: i32, y: usize, yHalo: i32, N: i32, H: i32, W: i32, C: i32): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const zero = f32x4.splat(0);
  zeroHalo(y, yHalo, N, H, W, S);
  for (let row = 0; row < N * H; row++) {
    let from = rowAddress(x, xHalo, row, H, W, step);
    let to = rowAddress(y, yHalo, row, H, W, step);
    let n = (W * S) >> 2;
    if (n > 0) do {
      v128.store(to, f32x4.pmax(v128.load(from), zero));
      from += 16;
      to += 16;
    } while (--n);
  }
}

/** dx = (g + g2?) where y > 0. g, g2 (0: absent) and dx have no halo. */
export function reluBackward(
  g: usize, g2: usize, y: usize, yHalo: i32, dx: usize, N: i32, H: i32, W: i32, C: i32,
): void {
  maskPixels(g, g2, y, yHalo, dx, 0, N * H * W, H, W, <usize>channelStride(C) << 2);
}

/** One run of y = max(a + b, floor) over `floats` elements. */
// @ts-ignore: decorator
@inline
function addRun(a: usize, b: usize, y: usize, floats: i32, floor: v128): void {
  let n = floats >> 4;
  if (n > 0) do {
    const y0 = f32x4.pmax(f32x4.add(v128.load(a), v128.load(b)), floor);
    const y1 = f32x4.pmax(f32x4.add(v128.load(a, 16), v128.load(b, 16)), floor);
    const y2 = f32x4.pmax(f32x4.add(v128.load(a, 32), v128.load(b, 32)), floor);
    const y3 = f32x4.pmax(f32x4.add(v128.load(a, 48), v128.load(b, 48)), floor);
    v128.store(y, y1, 16);
    v128.store(y, y0);
    v128.store(y, y3, 48);
    v128.store(y, y2, 32);
    a += 64;
    b += 64;
    y += 64;
  } while (--n);
  n = (floats >> 2) & 3;
  if (n > 0) do {
    v128.store(y, f32x4.pmax(f32x4.add(v128.load(a), v128.load(b)), floor));
    a += 16;
    b += 16;
    y += 16;
  } while (--n);
}

/** y = relu?(a + b); y's halo becomes 0. */
export function addForward(
  a: usize, aHalo: i32, b: usize, bHalo: i32, y: usize, yHalo: i32, N: i32, H: i32, W: i32, C: i32, relu: i32,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const floor = f32x4.splat(relu ? 0 : -Infinity);
  zeroHalo(y, yHalo, N, H, W, S);
  if ((aHalo | bHalo | yHalo) == 0) {
    addRun(a, b, y, N * H * W * S, floor);
    return;
  }
  a = rowAddress(a, aHalo, 0, H, W, step);
  b = rowAddress(b, bHalo, 0, H, W, step);
  y = rowAddress(y, yHalo, 0, H, W, step);
  for (let n = 0; n < N; n++) {
    for (let h = 0; h < H; h++) {
      addRun(a, b, y, W * S, floor);
      a += <usize>W * step + rowGap(aHalo, step);
      b += <usize>W * step + rowGap(bHalo, step);
      y += <usize>W * step + rowGap(yHalo, step);
    }
    a += imageGap(aHalo, W, step);
    b += imageGap(bHalo, W, step);
    y += imageGap(yHalo, W, step);
  }
}
