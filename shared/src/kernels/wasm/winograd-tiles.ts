// Two-dimensional Winograd transforms of one tile, the sizes of their buffers, and tiles that hang over an image's
// edge.
//
// An image is cut into tiles. A transformed tile has 36 or 81 elements for each channel; each element has its own
// plane, because each is one matrix product over the channels. `winograd-geometry.ts` repeats the sizes.
import { channelStride } from './lanes';
import {
  tileStridedFilter, tileStridedFilterGradient, tileStridedGradient, tileStridedInput, tileStridedOutput,
  tileStridedSpread,
} from './strided-transform';
import {
  tileWinogradFilter, tileWinogradFilterGradient, tileWinogradGradientColumns, tileWinogradGradientRows,
  tileWinogradInputColumns, tileWinogradInputRows, tileWinogradOutputColumns, tileWinogradOutputRows,
} from './winograd-transform';

/** How an image is cut into tiles. Stride 1: 4 x 4 outputs from 6 x 6 inputs; its input's gradient is the same. */
export const PLAIN: i32 = 0;
/** Stride 2: 4 x 4 outputs from 9 x 9 inputs. */
export const DOWN: i32 = 1;
/** Stride 2, gradient of the input: 8 x 8 of it from 5 x 5 gradients of the output. */
export const UP: i32 = 2;

/** The tiling of the input, for both passes that read it. */
// @ts-ignore: decorator
@inline
export function tilingOf(stride: i32): i32 {
  return stride == 2 ? DOWN : PLAIN;
}

/** Output pixels of a 3x3 convolution along one axis. */
// @ts-ignore: decorator
@inline
export function outputSize(size: i32, stride: i32, pad: i32): i32 {
  return (size + 2 * pad - 3) / stride + 1;
}

/** Elements of a tile along one axis. */
// @ts-ignore: decorator
@inline
export function elementsAlong(tiling: i32): i32 {
  return tiling == PLAIN ? 6 : 9;
}

/** Pixels that a tile is computed from, along one axis. */
// @ts-ignore: decorator
@inline
export function inputsAlong(tiling: i32): i32 {
  return tiling == PLAIN ? 6 : tiling == DOWN ? 9 : 5;
}

/** Pixels between the inputs of neighbouring tiles. */
// @ts-ignore: decorator
@inline
export function inputStep(tiling: i32): i32 {
  return tiling == DOWN ? 8 : 4;
}

/** Pixels that a tile yields, along one axis. */
// @ts-ignore: decorator
@inline
export function outputsAlong(tiling: i32): i32 {
  return tiling == UP ? 8 : 4;
}

/** Elements of a transformed filter along one axis: with stride 2, the pixels in between share the last one. */
// @ts-ignore: decorator
@inline
export const FILTERS_ALONG: i32 = 6;

/** The last of these is that of all elements behind it. */
// @ts-ignore: decorator
@inline
export const LAST_FILTER: i32 = FILTERS_ALONG - 1;

// @ts-ignore: decorator
@inline
export const FILTERS: i32 = FILTERS_ALONG * FILTERS_ALONG;

/**
 * Groups of 8 channels (or of 8 filters) that one transform takes at once: half-transformed, they fit the first-level
 * cache.
 */
// @ts-ignore: decorator
@inline
export const GROUPS: i32 = 8;

/** Scratch of every transform here: GROUPS half-transformed blocks of 81 x 8 floats at most. */
// @ts-ignore: decorator
@inline
export const TRANSFORM_BYTES: i32 = 20736;

/** An odd number of cache lines, so that the planes of the elements do not meet in the same sets of a cache. */
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

/** B^T d B of the pixels at x into v, `plane` bytes from element to element. Channels in whole groups of 8. */
export function transformInput(
  tiling: i32, x: usize, xRow: i32, xPixel: i32, groups: i32, v: usize, plane: i32, temporary: usize,
): void {
  for (; groups > 0; groups -= GROUPS) {
    const count = min(GROUPS, groups);
    if (tiling == PLAIN) {
      tileWinogradInputColumns(count, x, xRow, xPixel, temporary);
      tileWinogradInputRows(count, temporary, v, plane);
    } else if (tiling == DOWN) {
      tileStridedInput(count, 9, x, 2 * xRow, xRow, xPixel, 32, temporary, 288, 32, 2592);
      tileStridedInput(count, 9, temporary, 64, 32, 288, 2592, v, plane, 9 * plane, 32);
    } else {
      tileStridedInput(count, 5, x, xRow, 0, xPixel, 32, temporary, 160, 32, 1440);
      tileStridedInput(count, 9, temporary, 32, 0, 160, 1440, v, plane, 9 * plane, 32);
    }
    x += 32 * GROUPS;
    v += 32 * GROUPS;
  }
}

/** A^T m A of the elements at m into the pixels at y, for at most GROUPS groups of 8 channels. */
export function transformOutput(
  tiling: i32, m: usize, plane: i32, groups: i32, y: usize, yRow: i32, yPixel: i32, temporary: usize,
): void {
  if (tiling == PLAIN) {
    tileWinogradOutputColumns(groups, m, plane, temporary);
    tileWinogradOutputRows(groups, temporary, y, yRow, yPixel);
  } else if (tiling == DOWN) {
    tileStridedOutput(groups, 9, m, 9 * plane, plane, 32, temporary, 288, 32, 1152);
    tileStridedOutput(groups, 4, temporary, 32, 288, 1152, y, yPixel, yRow, 32);
  } else {
    tileStridedSpread(groups, 9, m, 9 * plane, plane, 32, temporary, 288, 32, 2304);
    tileStridedSpread(groups, 8, temporary, 32, 288, 2304, y, yPixel, yRow, 32);
  }
}

/** A dy A^T of 4 x 4 pixels at dy into p, for at most GROUPS groups of 8 channels; PLAIN or DOWN. */
export function transformGradient(
  tiling: i32, dy: usize, dyRow: i32, dyPixel: i32, groups: i32, p: usize, plane: i32, temporary: usize,
): void {
  if (tiling == PLAIN) {
    tileWinogradGradientColumns(groups, dy, dyRow, dyPixel, temporary);
    tileWinogradGradientRows(groups, temporary, p, plane);
  } else {
    tileStridedGradient(groups, 4, dy, dyRow, dyPixel, 32, temporary, 128, 32, 1152);
    tileStridedGradient(groups, 9, temporary, 32, 128, 1152, p, plane, 9 * plane, 32);
  }
}

/**
 * G, three values into six, for `rows` input channels and 8 output channels: from w with wStride bytes between values
 * and wRow between input channels, into u with uStride and uRow.
 */
export function transformFilter(
  tiling: i32, rows: i32, w: usize, wStride: i32, wRow: i32, u: usize, uStride: i32, uRow: i32,
): void {
  if (tiling == PLAIN) tileWinogradFilter(rows, w, wStride, wRow, u, uStride, uRow);
  else tileStridedFilter(rows, w, wStride, wRow, u, uStride, uRow);
}

/**
 * G^T, six values into three, for `rows` input channels and 8 output channels: from du with duStride bytes between
 * values, into dw with dwStride.
 */
export function transformFilterGradient(
  tiling: i32, rows: i32, du: usize, duStride: i32, duRow: i32, dw: usize, dwStride: i32, dwRow: i32,
): void {
  if (tiling == PLAIN) tileWinogradFilterGradient(rows, du, duStride, duRow, dw, dwStride, dwRow);
  else tileStridedFilterGradient(rows, du, duStride, duRow, dw, dwStride, dwRow);
}

/**
 * Copies size x size pixels from (top, left) of an image to out [size][size][pixel bytes], zeros where the image has
 * none.
 *
 * image: its pixel (0, 0); pixels exist from (-halo, -halo) to (H + halo - 1, W + halo - 1).
 */
export function gatherTile(
  image: usize, row: i32, pixel: i32, halo: i32, H: i32, W: i32, top: i32, left: i32, size: i32, out: usize,
): void {
  const first = min(size, max(0, -halo - left));
  const end = max(first, min(size, W + halo - left));
  for (let y = top; y < top + size; y++) {
    if (y < -halo || y >= H + halo) {
      memory.fill(out, 0, size * pixel);
    } else {
      if (first > 0) memory.fill(out, 0, first * pixel);
      memory.copy(out + first * pixel, image + y * row + (left + first) * pixel, (end - first) * pixel);
      if (end < size) memory.fill(out + end * pixel, 0, (size - end) * pixel);
    }
    out += size * pixel;
  }
}

/**
 * Bytes for one gathered tile of inputs, for 8 x 8 pixels of one panel, or for 9 x 8 x 8 weights, whichever is most; a
 * transform may read 16 bytes beyond.
 */
// @ts-ignore: decorator
@inline
export function edgeBytes(tiling: i32, channels: i32): i32 {
  const pixels = inputsAlong(tiling) * inputsAlong(tiling);
  return (max(4 * pixels * channelStride(channels), 4096) + 127) & ~63;
}
