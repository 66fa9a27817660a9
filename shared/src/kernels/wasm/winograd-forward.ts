// Winograd convolution of 3x3 filters, forward and gradient of the input: 36 matrix products instead of nine, over 16
// times fewer rows; with stride 2, 81 products.
//
// Block of tiles by block of tiles: V = B^T x B; then, for each panel of NR output channels, M = V U, element by
// element, and at once y = A^T M A. So M is small, and V fits the second-level cache. One product element is summed
// over the input channels in order, in one accumulator: the bits depend neither on the block nor on NR.
import { correlate } from './correlation';
import { TILES_AHEAD, fetchRows } from './fetch';
import { zeroHalo } from './halo';
import { NR, channelStride } from './lanes';
import { productOfRows, productRows } from './product-tile';
import { transformInputs } from './winograd-inputs';
import { keepsTransformed, rawPanelBytes, transformPanelColumns, transformPanelRow } from './winograd-pack';
import {
  FILTERS, FILTERS_ALONG, LAST_FILTER, PLAIN, TRANSFORM_BYTES, UP, edgeBytes, elementsAlong, outputSize, outputsAlong,
  planeBytes, tileBytes, tilingOf, transformOutput,
} from './winograd-tiles';

/** Bytes of V and of one panel's products in a block, of the second-level cache. */
const BLOCK_BYTES: i32 = 307200;
/** The same where each block transforms the filters anew: the fewer the better, though V leaves that cache. */
const LARGE_BLOCK_BYTES: i32 = 4915200;
/** Tiles of a block at least. */
const LEAST_BLOCK: i32 = 24;

/** With so few tiles M is small, and filters go from their transform to their products a few input channels at a time. */
const FEW_TILES: i32 = 32;

/** Input channels of such a group: a row of their filters fits the first-level cache. */
const CHANNELS: i32 = 64;

/** Input channels that are transformed and multiplied together. */
function channelsAtOnce(tiles: i32, lanes: i32): i32 {
  return tiles <= FEW_TILES ? min(CHANNELS, lanes) : lanes;
}

/** Tiles of a block: a multiple of 6, the height of a product's register tile, unless there are fewer. */
function tilesOfBlock(tiles: i32, elements: i32, channels: i32, kept: bool): i32 {
  const bytes = kept ? BLOCK_BYTES : LARGE_BLOCK_BYTES;
  const fitting = bytes / (4 * elements * (channelStride(channels) + 16)) / 6 * 6;
  return min(tiles, max(LEAST_BLOCK, fitting));
}

/**
 * y = A^T M A for tiles first .. first + count - 1 and `columns` channels; y: its first pixel's first of these
 * channels.
 */
function transformOutputs(
  tiling: i32, m: usize, plane: i32, columns: i32, first: i32, count: i32,
  y: usize, image: i32, row: i32, pixel: i32, H: i32, W: i32, edge: usize, temporary: usize,
): void {
  const size = outputsAlong(tiling);
  const tilesY = (H + size - 1) / size;
  const tilesX = (W + size - 1) / size;
  const groups = (columns + 7) >> 3;
  let ty = (first / tilesX) % tilesY;
  let tx = first % tilesX;
  let from = y + first / (tilesY * tilesX) * image;
  for (let i = 0; i < count; i++) {
    const to = from + size * (ty * row + tx * pixel);
    const rows = min(size, H - size * ty);
    const across = min(size, W - size * tx);
    if (i == 0 || tx % TILES_AHEAD == 0) {
      // Lines are read before they are written in part, and y has not been touched since the last shard.
      const ahead = min(TILES_AHEAD - tx % TILES_AHEAD, count - i);
      fetchRows(to, rows, row, min(W - size * tx, size * ahead) * pixel, max(64, pixel), temporary);
    }
    if (rows == size && across == size && (columns & 7) == 0) {
      transformOutput(tiling, m, plane, groups, to, row, pixel, temporary);
    } else {
      // Only part of the tile exists: pixels beyond the edge, or lanes that belong to the next pixel, are left out.
      transformOutput(tiling, m, plane, groups, edge, size * 4 * NR, 4 * NR, temporary);
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < across; c++) {
          const source = edge + 4 * NR * (size * r + c);
          for (let j = 0; j < columns; j += 4) {
            v128.store(to + r * row + c * pixel + 4 * j, v128.load(source + 4 * j));
          }
        }
      }
    }
    m += 4 * NR;
    if (++tx == tilesX) {
      tx = 0;
      if (++ty == tilesY) {
        ty = 0;
        from += image;
      }
    }
  }
}

/**
 * The correlation of x [N][H + 2 xHalo][W + 2 xHalo], padded by `pad` on every side, with transformed filters; all of
 * the interior of y [N][OH + 2 yHalo][OW + 2 yHalo] is written.
 */
function correlateTiles(
  tiling: i32, x: usize, xHalo: i32, packed: usize, y: usize, yHalo: i32,
  N: i32, H: i32, W: i32, IC: i32, OH: i32, OW: i32, OC: i32, pad: i32, scratch: usize,
): void {
  if (N <= 0 || OH <= 0 || OW <= 0) return;
  const yPixel = 4 * channelStride(OC);
  const yRow = (OW + 2 * yHalo) * yPixel;
  const inside = y + yHalo * (yRow + yPixel);
  const size = outputsAlong(tiling);
  const tilesY = (OH + size - 1) / size;
  const tilesX = (OW + size - 1) / size;
  const tiles = N * tilesY * tilesX;
  const along = elementsAlong(tiling);
  const elements = along * along;
  const kept = keepsTransformed(IC, OC);
  const block = tilesOfBlock(tiles, elements, IC, kept);
  const lanes = channelStride(IC);
  const group = kept ? lanes : channelsAtOnce(tiles, lanes);
  const vTile = tileBytes(IC);
  const vPlane = planeBytes(productRows(block) * vTile);
  const mPlane = planeBytes(productRows(block) * 4 * NR);
  const uPlane = planeBytes(group * 4 * NR);
  const edge = scratch + TRANSFORM_BYTES;
  const v = edge + edgeBytes(tiling, IC);
  const m = v + elements * vPlane;
  // Filters of one panel that are transformed here: half, [6][3] matrices, and one row of them, [6].
  const half = m + elements * mPlane;
  const row6 = half + 3 * FILTERS_ALONG * uPlane;
  const panelBytes = kept ? FILTERS * uPlane : rawPanelBytes(IC);
  for (let first = 0; first < tiles; first += block) {
    const count = min(block, tiles - first);
    transformInputs(tiling, x, xHalo, N, H, W, IC, pad, tilesY, tilesX, first, count, v, vPlane, edge, scratch);
    let panel = packed;
    for (let channel = 0; channel < channelStride(OC); channel += NR) {
      const columns = min(NR, channelStride(OC) - channel);
      for (let from = 0; from < lanes; from += group) {
        const depth = min(group, lanes - from);
        if (!kept) transformPanelColumns(tiling, panel, lanes, from, depth, half, uPlane);
        for (let row = 0; row < along; row++) {
          const filterRow = min(row, LAST_FILTER);
          if (!kept && row <= LAST_FILTER) transformPanelRow(tiling, half + 3 * row * uPlane, depth, row6, uPlane);
          const u = kept ? panel + FILTERS_ALONG * filterRow * uPlane : row6;
          for (let column = 0; column < along; column++) {
            const e = row * along + column;
            const tilesOfElement = v + e * vPlane + 4 * from;
            const filter = u + min(column, LAST_FILTER) * uPlane;
            const product = m + e * mPlane;
            // Half a panel has tiles of its own, which begin their sums at zero.
            if (kept && columns < NR) {
              correlate(1, 1, count, columns, 1, lanes, tilesOfElement, 0, 0, 0, vTile, filter, product, 0, 0, 4 * NR);
            } else productOfRows(from > 0, count, depth, tilesOfElement, vTile, filter, product, 4 * NR);
          }
        }
      }
      panel += panelBytes;
      transformOutputs(
        tiling, m, mPlane, columns, first, count,
        inside + 4 * channel, (OH + 2 * yHalo) * yRow, yRow, yPixel, OH, OW, edge, scratch,
      );
    }
  }
}

/**
 * y = 3x3 convolution of x with stride 1 or 2, with the packed filters of winogradPackForward for that stride.
 *
 * x: [N][H + 2 xHalo][W + 2 xHalo][channelStride(IC)], xHalo >= pad.
 * y: [N][OH + 2 yHalo][OW + 2 yHalo][channelStride(OC)], written whole: interior, padding lanes (zero) and halo (zero);
 * OH = floor((H + 2 pad - 3) / stride) + 1. scratch: `winogradScratchBytes(..)`.
 */
export function winogradForward(
  x: usize, xHalo: i32, packed: usize, y: usize, yHalo: i32,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, stride: i32, pad: i32, scratch: usize,
): void {
  const OH = outputSize(H, stride, pad);
  const OW = outputSize(W, stride, pad);
  zeroHalo(y, yHalo, N, OH, OW, channelStride(OC));
  correlateTiles(tilingOf(stride), x, xHalo, packed, y, yHalo, N, H, W, IC, OH, OW, OC, pad, scratch);
}

/**
 * dx = gradient of the convolution's input: for stride 1 the correlation of dy, padded by 2 - pad, with the rotated
 * filters, from winogradPackBackwardData for that stride.
 *
 * dy: [N][OH + 2 dyHalo][OW + 2 dyHalo][channelStride(OC)] with zeros in the halo, any dyHalo.
 * dx: [N][H][W][channelStride(IC)], overwritten whole, padding lanes with zero.
 * N .. pad describe the forward convolution; pad <= 2 with stride 1, pad = 1 with stride 2. scratch:
 * `winogradBackwardDataScratchBytes(..)`.
 */
export function winogradBackwardData(
  dy: usize, dyHalo: i32, packed: usize, dx: usize,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, stride: i32, pad: i32, scratch: usize,
): void {
  const OH = outputSize(H, stride, pad);
  const OW = outputSize(W, stride, pad);
  const tiling = stride == 2 ? UP : PLAIN;
  // Pixels 2j and 2j + 1 of dx come from dy[j] and dy[j + 1], when pad is 1.
  const back = stride == 2 ? 0 : 2 - pad;
  correlateTiles(tiling, dy, dyHalo, packed, dx, 0, N, OH, OW, OC, H, W, IC, back, scratch);
}
