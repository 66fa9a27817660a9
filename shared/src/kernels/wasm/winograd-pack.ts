// Filters packed for the products of winograd-forward.ts.
//
// Small filters are packed transformed, U = G w G^T. The U of large ones would take four times the memory of the
// weights and be read from there once for each block of tiles; so these are only laid out as for the direct
// convolution. A panel is transformed down its columns, and a sixth of its elements at a time along their rows, just
// before their products.
import { convPackBackwardData } from './conv-backward-data';
import { convPackForward } from './conv-forward';
import { NR, channelStride } from './lanes';
import { FILTERS, FILTERS_ALONG, planeBytes, tilingOf, transformFilter } from './winograd-tiles';

/** U of more floats than this, 4 MiB, is not kept. */
const LARGEST_KEPT: i32 = 1048576;

/** Input channels whose columns are transformed together. */
const CHANNELS: i32 = 32;

/** Whether packed filters are kept transformed; the same in both widths. */
export function keepsTransformed(depth: i32, columns: i32): bool {
  return FILTERS * channelStride(depth) * ((columns + 15) & ~15) <= LARGEST_KEPT;
}

/** Bytes of one packed panel before its transform: [9][channelStride(depth)][NR]. */
// @ts-ignore: decorator
@inline
export function rawPanelBytes(depth: i32): i32 {
  return 9 * 4 * NR * channelStride(depth);
}

/**
 * G down the columns of a panel's filters, for `count` input channels from `first` on: half [6][3][count][NR] from raw
 * [9][depth][NR], `plane` bytes between the matrices of half. A few channels at a time, so that the first-level cache
 * has them for both halves of the panel.
 */
export function transformPanelColumns(
  tiling: i32, raw: usize, depth: i32, first: i32, count: i32, half: usize, plane: i32,
): void {
  const tap = 4 * NR * depth;
  for (let row = 0; row < count; row += CHANNELS) {
    const rows = min(CHANNELS, count - row);
    for (let column = 0; column < 3; column++) {
      for (let j = 0; j < NR; j += 8) {
        const from = raw + column * tap + 4 * ((first + row) * NR + j);
        transformFilter(
          tiling, rows, from, 3 * tap, 4 * NR, half + column * plane + 4 * (row * NR + j), 3 * plane, 4 * NR,
        );
      }
    }
  }
}

/** u [6][count][NR], one of the six rows of a panel's filters, from its row of half, [3][count][NR]. */
export function transformPanelRow(tiling: i32, half: usize, count: i32, u: usize, plane: i32): void {
  for (let j = 0; j < NR; j += 8) {
    transformFilter(tiling, count, half + 4 * j, plane, 4 * NR, u + 4 * j, plane, 4 * NR);
  }
}

/** Transforms all panels at raw into packed [panels][36][channelStride(depth)][NR]. */
function transformPanels(tiling: i32, raw: usize, depth: i32, columns: i32, packed: usize): void {
  const lanes = channelStride(depth);
  const plane = planeBytes(4 * NR * lanes);
  const panels = (columns + NR - 1) / NR;
  const half = raw + panels * rawPanelBytes(depth);
  for (let panel = 0; panel < panels; panel++) {
    transformPanelColumns(tiling, raw, lanes, 0, lanes, half, plane);
    for (let row = 0; row < FILTERS_ALONG; row++) {
      transformPanelRow(tiling, half + 3 * row * plane, lanes, packed + row * FILTERS_ALONG * plane, plane);
    }
    raw += rawPanelBytes(depth);
    packed += FILTERS * plane;
  }
}

/** Where raw panels go: into `packed` itself, or behind the transformed ones. */
function rawPanels(packed: usize, depth: i32, columns: i32): usize {
  if (!keepsTransformed(depth, columns)) return packed;
  return packed + (columns + NR - 1) / NR * FILTERS * planeBytes(4 * NR * channelStride(depth));
}

/**
 * Packs the taps [fromTap, toTap) of w [3][3][IC][OC], `w` pointing to the first of them, for winogradForward: [ceil(OC / NR)][36][channelStride(IC)][NR], the planes of the 36 elements
 * an odd number of cache lines long, or [ceil(OC / NR)][9][channelStride(IC)][NR]; zero where there is no channel.
 * `winogradPackedBytes(IC, OC)` counts scratch behind the last panel. What is kept transformed needs all taps at once.
 */
export function winogradPackForward(
  w: usize, packed: usize, IC: i32, OC: i32, stride: i32, fromTap: i32, toTap: i32,
): void {
  const raw = rawPanels(packed, IC, OC);
  convPackForward(w, raw, 3, 3, IC, OC, fromTap, toTap);
  if (raw != packed) transformPanels(tilingOf(stride), raw, IC, OC, packed);
}

/**
 * Packs taps of w [3][3][IC][OC] for winogradBackwardData: the rotated and transposed filters, as above with IC and OC
 * exchanged. `winogradPackedBackwardDataBytes(IC, OC)` counts scratch behind the last panel.
 */
export function winogradPackBackwardData(
  w: usize, packed: usize, IC: i32, OC: i32, stride: i32, fromTap: i32, toTap: i32,
): void {
  const raw = rawPanels(packed, OC, IC);
  convPackBackwardData(w, raw, 3, 3, IC, OC, 1, 1, fromTap, toTap);
  if (raw != packed) transformPanels(tilingOf(stride), raw, OC, IC, packed);
}
