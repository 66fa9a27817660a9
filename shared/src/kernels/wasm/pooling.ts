// Pooling, four channels at a time. Windows may overlap the border; a padded cell never counts.
// `pad` is below K, so that every window holds a real cell.

import { rowAddress, zeroHalo } from './halo';
import { channelStride } from './lanes';

/** Output height or width: floor((size + 2*pad - K)/stride) + 1. */
// @ts-ignore: decorator
@inline
function pooledSize(size: i32, K: i32, stride: i32, pad: i32): i32 {
  return (size + 2 * pad - K) / stride + 1;
}

/**
 * y = maximum of each window; positions i32 [N][OH][OW][S] = h*W + w of the first maximum. A NaN wins over
 * any number. x [N][H][W][S] and y [N][OH][OW][S] may have halos; y's becomes 0.
 */
export function maxPoolForward(
  x: usize, xHalo: i32, y: usize, yHalo: i32, positions: usize, N: i32, H: i32, W: i32, C: i32,
  K: i32, stride: i32, pad: i32,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const OH = pooledSize(H, K, stride, pad);
  const OW = pooledSize(W, K, stride, pad);
  const xRow = <usize>(W + 2 * xHalo) * step;
  zeroHalo(y, yHalo, N, OH, OW, S);
  for (let n = 0; n < N; n++) {
    const image = rowAddress(x, xHalo, n * H, H, W, step);
    for (let oh = 0; oh < OH; oh++) {
      let to = rowAddress(y, yHalo, n * OH + oh, OH, OW, step);
      const h0 = max(0, oh * stride - pad);
      const h1 = min(H, oh * stride - pad + K);
      for (let ow = 0; ow < OW; ow++) {
        const w0 = max(0, ow * stride - pad);
        const w1 = min(W, ow * stride - pad + K);
        for (let c: usize = 0; c < step; c += 16) {
          let best = v128.load(image + <usize>h0 * xRow + <usize>w0 * step + c);
          let where = i32x4.splat(h0 * W + w0);
          for (let h = h0; h < h1; h++) {
            let p = image + <usize>h * xRow + <usize>w0 * step + c;
            for (let w = w0; w < w1; w++) {
              const v = v128.load(p);
              const wins = v128.or(f32x4.gt(v, best), v128.andnot(f32x4.ne(v, v), f32x4.ne(best, best)));
              best = v128.bitselect(v, best, wins);
              where = v128.bitselect(i32x4.splat(h * W + w), where, wins);
              p += step;
            }
          }
          v128.store(to, best);
          v128.store(positions, where);
          to += 16;
          positions += 16;
        }
      }
    }
  }
}

/** dx [N][H][W][S] = 0, then each g [N][OH][OW][S] is added where its maximum was. */
export function maxPoolBackward(
  g: usize, positions: usize, dx: usize, N: i32, H: i32, W: i32, C: i32, K: i32, stride: i32, pad: i32,
): void {
  const step = <usize>channelStride(C) << 2;
  const OH = pooledSize(H, K, stride, pad);
  const OW = pooledSize(W, K, stride, pad);
  const imageBytes = <usize>(H * W) * step;
  memory.fill(dx, 0, <usize>N * imageBytes);
  for (let n = 0; n < N; n++) {
    for (let oh = 0; oh < OH; oh++) {
      const h0 = max(0, oh * stride - pad);
      const h1 = min(H, oh * stride - pad + K);
      for (let ow = 0; ow < OW; ow++) {
        const w0 = max(0, ow * stride - pad);
        const w1 = min(W, ow * stride - pad + K);
        for (let c: usize = 0; c < step; c += 16) {
          const v = v128.load(g);
          const where = v128.load(positions);
          for (let h = h0; h < h1; h++) {
            let p = dx + <usize>(h * W + w0) * step + c;
            for (let w = w0; w < w1; w++) {
              const here = i32x4.eq(where, i32x4.splat(h * W + w));
              v128.store(p, f32x4.add(v128.load(p), v128.and(v, here)));
              p += step;
            }
          }
          g += 16;
          positions += 16;
        }
      }
    }
    dx += imageBytes;
  }
}

/** y = mean of the real cells of each window; y's halo becomes 0. */
export function averagePoolForward(
  x: usize, xHalo: i32, y: usize, yHalo: i32, N: i32, H: i32, W: i32, C: i32, K: i32, stride: i32, pad: i32,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const OH = pooledSize(H, K, stride, pad);
  const OW = pooledSize(W, K, stride, pad);
  const xRow = <usize>(W + 2 * xHalo) * step;
  zeroHalo(y, yHalo, N, OH, OW, S);
  for (let n = 0; n < N; n++) {
    const image = rowAddress(x, xHalo, n * H, H, W, step);
    for (let oh = 0; oh < OH; oh++) {
      let to = rowAddress(y, yHalo, n * OH + oh, OH, OW, step);
      const h0 = max(0, oh * stride - pad);
      const h1 = min(H, oh * stride - pad + K);
      for (let ow = 0; ow < OW; ow++) {
        const w0 = max(0, ow * stride - pad);
        const w1 = min(W, ow * stride - pad + K);
        const cells = f32x4.splat(<f32>((h1 - h0) * (w1 - w0)));
        for (let c: usize = 0; c < step; c += 16) {
          let sum = f32x4.splat(0);
          for (let h = h0; h < h1; h++) {
            let p = image + <usize>h * xRow + <usize>w0 * step + c;
            for (let w = w0; w < w1; w++) {
              sum = f32x4.add(sum, v128.load(p));
              p += step;
            }
          }
          v128.store(to, f32x4.div(sum, cells));
          to += 16;
        }
      }
    }
  }
}

/** dx [N][H][W][S] = 0, then each g is shared out evenly among the real cells of its window. */
export function averagePoolBackward(
  g: usize, dx: usize, N: i32, H: i32, W: i32, C: i32, K: i32, stride: i32, pad: i32,
): void {
  const step = <usize>channelStride(C) << 2;
  const OH = pooledSize(H, K, stride, pad);
  const OW = pooledSize(W, K, stride, pad);
  const imageBytes = <usize>(H * W) * step;
  memory.fill(dx, 0, <usize>N * imageBytes);
  for (let n = 0; n < N; n++) {
    for (let oh = 0; oh < OH; oh++) {
      const h0 = max(0, oh * stride - pad);
      const h1 = min(H, oh * stride - pad + K);
      for (let ow = 0; ow < OW; ow++) {
        const w0 = max(0, ow * stride - pad);
        const w1 = min(W, ow * stride - pad + K);
        const cells = f32x4.splat(<f32>((h1 - h0) * (w1 - w0)));
        for (let c: usize = 0; c < step; c += 16) {
          const share = f32x4.div(v128.load(g), cells);
          for (let h = h0; h < h1; h++) {
            let p = dx + <usize>(h * W + w0) * step + c;
            for (let w = w0; w < w1; w++) {
              v128.store(p, f32x4.add(v128.load(p), share));
              p += step;
            }
          }
          g += 16;
        }
      }
    }
    dx += imageBytes;
  }
}

/** y [N][S] = mean over all pixels; rows are summed first, then the sums of the rows. */
export function globalAveragePoolForward(x: usize, xHalo: i32, y: usize, N: i32, H: i32, W: i32, C: i32): void {
  const step = <usize>channelStride(C) << 2;
  const pixels = f32x4.splat(<f32>(H * W));
  for (let n = 0; n < N; n++) {
    for (let c: usize = 0; c < step; c += 16) {
      let total = f32x4.splat(0);
      for (let h = 0; h < H; h++) {
        let p = rowAddress(x, xHalo, n * H + h, H, W, step) + c;
        let sum = f32x4.splat(0);
        for (let w = 0; w < W; w++) {
          sum = f32x4.add(sum, v128.load(p));
          p += step;
        }
        total = f32x4.add(total, sum);
      }
      v128.store(y, f32x4.div(total, pixels));
      y += 16;
    }
  }
}

/** dx [N][H][W][S] = g / (H*W) at every pixel; g [N][S]. */
export function globalAveragePoolBackward(g: usize, dx: usize, N: i32, H: i32, W: i32, C: i32): void {
  const step = <usize>channelStride(C) << 2;
  const pixels = f32x4.splat(<f32>(H * W));
  for (let n = 0; n < N; n++) {
    for (let p = 0; p < H * W; p++) {
      for (let c: usize = 0; c < step; c += 16) {
        v128.store(dx, f32x4.div(v128.load(g + c), pixels));
        dx += 16;
      }
    }
    g += step;
  }
}
