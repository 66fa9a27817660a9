// Two-dimensional Winograd transforms of one tile, the sizes of their buffers, and tiles that hang over an image's
// edge.
//
// An image is cut into tiles of 4 x 4 outputs, each from 6 x 6 inputs. A transformed tile has 36 elements for each
// channel; each element has its own plane, because each is one matrix product over the channels. `winograd-geometry.ts`
// repeats the sizes.
import { channelStride } from './lanes';
import {
  tileWinogradFilter, tileWinogradFilterGradient, tileWinogradGradient, tileWinogradInput, tileWinogradOutput,
} from './winograd-transform';

/** Elements of a transformed tile. */
// @ts-ignore: decorator
@inline
export const ELEMENTS: i32 = 36;

/**
 * Groups of 8 channels (or of 8 filters) that one transform takes at once: half-transformed, they fit the first-level
 * cache.
 */
// @ts-ignore: decorator
@inline
export const GROUPS: i32 = 8;

/** Scratch of every transform here: GROUPS half-transformed blocks of 36 x 8 floats at most. */
// @ts-ignore: decorator
@inline
export const TRANSFORM_BYTES: i32 = 9216;

/** An odd number of cache lines, so that the 36 planes do not meet in the same sets of a cache. */
// @ts-ignore: decorator
@inline
export function planeBytes(bytes: i32): i32 {
  return ((bytes + 63) & ~63) | 64;
}

/**
 * Bytes between two tiles of transformed inputs: whole groups of 8 channels; from 512 bytes on an odd number of half or
 * whole cache lines, for the weight gradient reads the same channels of many tiles.
 */
// @ts-ignore: decorator
@inline
export function tileBytes(channels: i32): i32 {
  const bytes = 4 * ((channels + 7) & ~7);
  return bytes < 512 ? bytes : bytes | 64;
}

/** Groups of 8 that cover the padded channels. */
// @ts-ignore: decorator
@inline
export function groupsOf(channels: i32): i32 {
  return (channels + 7) >> 3;
}

/** B^T d B of 6 x 6 pixels at x into v, `plane` bytes from element to element. Channels in whole groups of 8. */
export function transformInput(
  x: usize, xRow: i32, xPixel: i32, groups: i32, v: usize, plane: i32, temporary: usize,
): void {
  for (; groups > 0; groups -= GROUPS) {
    const count = min(GROUPS, groups);
    tileWinogradInput(count, 6, x, xRow, xPixel, 32, temporary, 192, 32, 1152);
    tileWinogradInput(count, 6, temporary, 32, 192, 1152, v, plane, 6 * plane, 32);
    x += 32 * GROUPS;
    v += 32 * GROUPS;
  }
}

/** A^T m A of the 36 elements at m into 4 x 4 pixels at y, for at most GROUPS groups of 8 channels. */
export function transformOutput(
  m: usize, plane: i32, groups: i32, y: usize, yRow: i32, yPixel: i32, temporary: usize,
): void {
  tileWinogradOutput(groups, 6, m, 6 * plane, plane, 32, temporary, 192, 32, 768);
  tileWinogradOutput(groups, 4, temporary, 32, 192, 768, y, yPixel, yRow, 32);
}

/** A dy A^T of 4 x 4 pixels at dy into p, for at most GROUPS groups of 8 channels. */
export function transformGradient(
  dy: usize, dyRow: i32, dyPixel: i32, groups: i32, p: usize, plane: i32, temporary: usize,
): void {
  tileWinogradGradient(groups, 4, dy, dyRow, dyPixel, 32, temporary, 128, 32, 768);
  tileWinogradGradient(groups, 6, temporary, 32, 128, 768, p, plane, 6 * plane, 32);
}

/**
 * G w G^T for at most GROUPS input channels (`rows`) and 8 output channels: w [3][3][..] with wTap bytes between kernel
 * places and wRow between input channels, into u with `plane` bytes between elements and uRow between input channels.
 */
export function transformFilter(
  rows: i32, w: usize, wTap: i32, wRow: i32, u: usize, plane: i32, uRow: i32, temporary: usize,
): void {
  tileWinogradFilter(rows, 3, w, 3 * wTap, wTap, wRow, temporary, 96, 32, 576);
  tileWinogradFilter(rows, 6, temporary, 32, 96, 576, u, plane, 6 * plane, uRow);
}

/** G^T du G, the other way round: du as u above, dw as w above. */
export function transformFilterGradient(
  rows: i32, du: usize, plane: i32, duRow: i32, dw: usize, dwTap: i32, dwRow: i32, temporary: usize,
): void {
  tileWinogradFilterGradient(rows, 6, du, 6 * plane, plane, duRow, temporary, 192, 32, 576);
  tileWinogradFilterGradient(rows, 3, temporary, 32, 192, 576, dw, dwTap, 3 * dwTap, dwRow);
}

/**
 * Copies 6 x 6 pixels from (top, left) of an image to out [6][6][pixel bytes], zeros where the image has none.
 *
 * image: its pixel (0, 0); pixels exist from (-halo, -halo) to (H + halo - 1, W + halo - 1).
 */
export function gatherTile(
  image: usize, row: i32, pixel: i32, halo: i32, H: i32, W: i32, top: i32, left: i32, out: usize,
): void {
  const first = min(6, max(0, -halo - left));
  const end = max(first, min(6, W + halo - left));
  for (let y = top; y < top + 6; y++) {
    if (y < -halo || y >= H + halo) {
      memory.fill(out, 0, 6 * pixel);
    } else {
      if (first > 0) memory.fill(out, 0, first * pixel);
      memory.copy(out + first * pixel, image + y * row + (left + first) * pixel, (end - first) * pixel);
      if (end < 6) memory.fill(out + end * pixel, 0, (6 - end) * pixel);
    }
    out += 6 * pixel;
  }
}

/**
 * Bytes for one gathered tile of 6 x 6 pixels, for 4 x 4 pixels of one panel, or for 9 x 8 x 8 weights, whichever is
 * most; a transform may read 16 bytes beyond.
 */
// @ts-ignore: decorator
@inline
export function edgeBytes(channels: i32): i32 {
  return (max(ELEMENTS * 4 * channelStride(channels), 2304) + 127) & ~63;
}
