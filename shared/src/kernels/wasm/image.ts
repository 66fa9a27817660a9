// From stored bytes to the input activation: crop, flip, normalise.

import { rowAddress, zeroHalo } from './halo';
import { channelStride } from './lanes';

/** n pixels of three channels, the last lane 0. @param step bytes to the next pixel of the source, perhaps negative */
function colourPixels(from: usize, step: isize, to: usize, n: i32, table: usize): void {
  let lanes = f32x4.splat(0);
  for (; n > 0; n--) {
    lanes = f32x4.replace_lane(lanes, 0, load<f32>(table + (<usize>load<u8>(from) << 2)));
    lanes = f32x4.replace_lane(lanes, 1, load<f32>(table + (<usize>load<u8>(from, 1) << 2), 1024));
    lanes = f32x4.replace_lane(lanes, 2, load<f32>(table + (<usize>load<u8>(from, 2) << 2), 2048));
    v128.store(to, lanes);
    from += step;
    to += 16;
  }
}

/** n pixels of C channels. */
function pixels(from: usize, step: isize, to: usize, n: i32, C: i32, table: usize): void {
  const S = channelStride(C);
  for (; n > 0; n--) {
    for (let c = 0; c < C; c++) {
      const value = <usize>load<u8>(from + <usize>c);
      store<f32>(to + (<usize>c << 2), load<f32>(table + (((<usize>c << 8) + value) << 2)));
    }
    for (let c = C; c < S; c++) store<f32>(to + (<usize>c << 2), 0);
    from += step;
    to += <usize>S << 2;
  }
}

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
  // Columns [first, last) of the output lie inside the image, and so do rows with 0 <= h + dy < H.
  const first = max(0, min(W, flip ? dx : -dx));
  const last = max(first, min(W, flip ? W + dx : W - dx));
  const begin = (flip ? W - 1 - first : first) + dx;
  const along: isize = flip ? -C : C;
  for (let h = 0; h < H; h++) {
    const to = rowAddress(y, yHalo, n * H + h, H, W, step);
    const sh = h + dy;
    const inside = sh >= 0 && sh < H && last > first;
    const left = inside ? first : W;
    memory.fill(to, 0, <usize>left * step);
    if (!inside) continue;
    const from = source + <usize>((sh * W + begin) * C);
    const at = to + <usize>first * step;
    if (C == 3) colourPixels(from, along, at, last - first, table);
    else pixels(from, along, at, last - first, C, table);
    memory.fill(to + <usize>last * step, 0, <usize>(W - last) * step);
  }
}
