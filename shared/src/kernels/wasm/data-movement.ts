// Kernels that move values without computing.

import { rowAddress } from './halo';
import { channelStride } from './lanes';

/** p[0 .. floats) = value. */
export function fill(p: usize, floats: i32, value: f32): void {
  const v = f32x4.splat(value);
  let n = floats >> 2;
  if (n > 0) do {
    v128.store(p, v);
    p += 16;
  } while (--n);
  for (n = floats & 3; n > 0; n--) {
    store<f32>(p, value);
    p += 4;
  }
}

/** y [N][channelStride(H*W*C)]: the values in the order (h, w, c), with no padding but at the end. */
export function flattenForward(x: usize, xHalo: i32, y: usize, N: i32, H: i32, W: i32, C: i32): void {
  const step = <usize>channelStride(C) << 2;
  const used = <usize>C << 2;
  const padding = <usize>(channelStride(H * W * C) - H * W * C) << 2;
  for (let row = 0; row < N * H; row++) {
    let from = rowAddress(x, xHalo, row, H, W, step);
    if (used == step) {
      memory.copy(y, from, <usize>W * used);
      y += <usize>W * used;
    } else {
      for (let w = 0; w < W; w++) {
        for (let c: usize = 0; c < used; c += 4) store<f32>(y + c, load<f32>(from + c));
        y += used;
        from += step;
      }
    }
    if (row % H == H - 1) {
      memory.fill(y, 0, padding);
      y += padding;
    }
  }
}

/** The way back: dx [N][H][W][S] from g [N][channelStride(H*W*C)]; padding lanes become 0. */
export function flattenBackward(g: usize, dx: usize, N: i32, H: i32, W: i32, C: i32): void {
  const step = <usize>channelStride(C) << 2;
  const used = <usize>C << 2;
  const padding = <usize>(channelStride(H * W * C) - H * W * C) << 2;
  for (let n = 0; n < N; n++) {
    for (let p = 0; p < H * W; p++) {
      for (let c: usize = 0; c < used; c += 4) store<f32>(dx + c, load<f32>(g + c));
      for (let c = used; c < step; c += 4) store<f32>(dx + c, 0);
      g += used;
      dx += step;
    }
    g += padding;
  }
}

/**
 * The shortcut without parameters of He et al. 2016 (option A): every stride-th pixel of x, and OC - IC
 * channels of zeros. y [N][ceil(H/stride)][ceil(W/stride)][S(OC)]; OC >= IC.
 */
export function shortcutForward(
  x: usize, xHalo: i32, y: usize, N: i32, H: i32, W: i32, IC: i32, OC: i32, stride: i32,
): void {
  const from = <usize>channelStride(IC) << 2;
  const to = <usize>channelStride(OC) << 2;
  const zero = f32x4.splat(0);
  for (let n = 0; n < N; n++) {
    for (let h = 0; h < H; h += stride) {
      let p = rowAddress(x, xHalo, n * H + h, H, W, from);
      for (let w = 0; w < W; w += stride) {
        for (let c: usize = 0; c < from; c += 16) v128.store(y + c, v128.load(p + c));
        for (let c = from; c < to; c += 16) v128.store(y + c, zero);
        y += to;
        p += <usize>stride * from;
      }
    }
  }
}

/** dx[n][h*stride][w*stride][c] += g[n][h][w][c] for c < IC; neither has a halo. */
export function shortcutBackward(
  g: usize, dx: usize, N: i32, H: i32, W: i32, IC: i32, OC: i32, stride: i32,
): void {
  const to = <usize>channelStride(IC) << 2;
  const from = <usize>channelStride(OC) << 2;
  for (let n = 0; n < N; n++) {
    for (let h = 0; h < H; h += stride) {
      let p = rowAddress(dx, 0, n * H + h, H, W, to);
      for (let w = 0; w < W; w += stride) {
        // g's lanes beyond IC may be channels that dx does not have: they must not reach its padding lanes.
        let c: usize = 0;
        for (; c + 16 <= <usize>IC << 2; c += 16) {
          v128.store(p + c, f32x4.add(v128.load(p + c), v128.load(g + c)));
        }
        for (; c < <usize>IC << 2; c += 4) store<f32>(p + c, load<f32>(p + c) + load<f32>(g + c));
        g += from;
        p += <usize>stride * to;
      }
    }
  }
}
