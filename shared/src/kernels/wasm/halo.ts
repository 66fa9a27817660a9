// Walking activations that have a halo, and writing the zeros of the halo.

/** Stores zeros; `bytes` is a multiple of 16. */
function clear(p: usize, bytes: usize): void {
  const zero = f32x4.splat(0);
  const end = p + bytes;
  for (; p < end; p += 16) v128.store(p, zero);
}

/** Writes the zeros around each of the N images of `y` [N][H+2*halo][W+2*halo][S]; the inside is left alone. */
export function zeroHalo(y: usize, halo: i32, N: i32, H: i32, W: i32, S: i32): void {
  if (halo == 0) return;
  const step = <usize>S << 2;
  const side = <usize>halo * step;
  const band = <usize>halo * <usize>(W + 2 * halo) * step;
  const inside = <usize>W * step;
  for (let n = 0; n < N; n++) {
    clear(y, band + side);
    y += band + side;
    // The right border of a row and the left border of the next one are neighbours in memory.
    for (let h = 1; h < H; h++) {
      clear(y + inside, side + side);
      y += inside + side + side;
    }
    clear(y + inside, side + band);
    y += inside + side + band;
  }
}

/** Address of pixel (n, h, 0), where `row` = n*H + h. */
// @ts-ignore: decorator
@inline
export function rowAddress(y: usize, halo: i32, row: i32, H: i32, W: i32, step: usize): usize {
  if (halo == 0) return y + <usize>(row * W) * step;
  return y + <usize>((row + (2 * (row / H) + 1) * halo) * (W + 2 * halo) + halo) * step;
}

/** Bytes from the end of one row's pixels to the first pixel of the next row of the same image. */
// @ts-ignore: decorator
@inline
export function rowGap(halo: i32, step: usize): usize {
  return <usize>(2 * halo) * step;
}

/** Bytes to skip at the end of an image, after the row's gap. */
// @ts-ignore: decorator
@inline
export function imageGap(halo: i32, W: i32, step: usize): usize {
  return <usize>(2 * halo * (W + 2 * halo)) * step;
}

/**
 * Rows that are worked on together before the next group of channels: about 256 pixels, so that the
 * constants of a group are loaded rarely and the pages of the block stay in cache for the next group.
 */
// @ts-ignore: decorator
@inline
export function rowsPerBlock(W: i32): i32 {
  return max(1, 256 / max(1, W));
}
