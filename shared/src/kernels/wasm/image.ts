// From stored bytes to the input activation: crop, flip, normalise.

import { rowAddress, zeroHalo } from './halo';
import { channelStride } from './lanes';

/**
 * Writes sample n of y [..][H][W][S] from image `image` of `bytes` u8 [..][H][W][C]. The crop is shifted by (dy, dx),
 * then flipped: out[h][w][c] = table[c][src[h + dy][(flip ? W-1-w : w) + dx][c]], or 0 outside.
 * table f32 [C][256] holds the normalised value of each byte. Halo and padding lanes become 0.
 */
export function loadImage(
  bytes: usize, image: i32, y: usize, yHalo: i32, n: i32, H: i32, W: i32, C: i32,
  dy: i32, dx: i32, flip: i32, table: usize,
): void {
  const S = channelStride(C);
  const step = <usize>S << 2;
  const source = bytes + <usize>image * <usize>(H * W * C);
  zeroHalo(y + <usize>n * <usize>(H + 2 * yHalo) * <usize>(W + 2 * yHalo) * step, yHalo, 1, H, W, S);
  for (let h = 0; h < H; h++) {
    let to = rowAddress(y, yHalo, n * H + h, H, W, step);
    const sh = h + dy;
    for (let w = 0; w < W; w++) {
      const sw = (flip ? W - 1 - w : w) + dx;
      if (sh < 0 || sh >= H || sw < 0 || sw >= W) {
        memory.fill(to, 0, step);
      } else {
        const from = source + <usize>((sh * W + sw) * C);
        for (let c = 0; c < C; c++) {
          const value = <usize>load<u8>(from + <usize>c);
          store<f32>(to + (<usize>c << 2), load<f32>(table + (((<usize>c << 8) + value) << 2)));
        }
        for (let c = C; c < S; c++) store<f32>(to + (<usize>c << 2), 0);
      }
      to += step;
    }
  }
}
