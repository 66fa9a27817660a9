// Winograd convolution of 3x3 filters, gradient of the weights: the exact gradient of what winograd-forward.ts
// computes.
//
// With V = B^T x B and P = A dy A^T for each tile: dU = sum over tiles of V^T P, element by element, and dw = G^T dU G.
// With stride 2 several elements share a filter, and dU is the sum over them too.
// The tiles are cut into blocks by the shape alone; a block's sum is formed in one accumulator, tile after tile, and
// the blocks' sums are added in order.
import { TILES_AHEAD, fetchRows, isFetched } from './fetch';
import { NR, channelStride } from './lanes';
import { transformInputs } from './winograd-inputs';
import {
  FILTERS, FILTERS_ALONG, GROUPS, LAST_FILTER, TRANSFORM_BYTES, edgeBytes, elementsAlong, outputSize, planeBytes,
  tileBytes, tilingOf, transformFilterGradient, transformGradient,
} from './winograd-tiles';
import { productOfChannels } from './winograd-weights-product';

/** Tiles of a block when there are many. */
const BLOCK: i32 = 96;
/**
 * So many tiles are one block, or as many as there are output channels: then V of all tiles is smaller than all of dU.
 */
const LEAST_SINGLE: i32 = 128;

/** With so few tiles a panel of P fits a cache beside dU, and may be read once for each group of input channels. */
const FEW_TILES: i32 = 32;

/** Input channels of such a group: a row of their dU fits the first-level cache. */
const CHANNELS: i32 = 48;

/** Tiles of a block, from the shape alone: it orders the sum. */
function tilesOfBlock(tiles: i32, OC: i32): i32 {
  return tiles <= max(LEAST_SINGLE, (OC + 15) & ~15) ? tiles : BLOCK;
}

/** Input channels that go from their products to their weights at a time, where one block holds all tiles. */
function channelsAtOnce(tiles: i32, lanes: i32): i32 {
  return tiles <= FEW_TILES ? min(CHANNELS, lanes) : lanes;
}

/** Copies rows x across pixels of `bytes` bytes to out [4][4][bytes], zeros beyond. */
function gatherPanel(from: usize, row: i32, pixel: i32, bytes: i32, rows: i32, across: i32, out: usize): void {
  for (let r = 0; r < 4; r++) {
    for (let c = 0; c < 4; c++) {
      const inside = r < rows && c < across;
      for (let i = 0; i < bytes; i += 16) {
        v128.store(out + i, inside ? v128.load(from + r * row + c * pixel + i) : f32x4.splat(0));
      }
      out += bytes;
    }
  }
}

/**
 * P = A dy A^T for tiles first .. first + count - 1 and one panel of NR output channels from `channel` on, into p
 * [elements][count][NR]. Columns beyond the padded channels are left undefined.
 */
function transformGradients(
  tiling: i32, dy: usize, halo: i32, N: i32, H: i32, W: i32, C: i32, channel: i32,
  first: i32, count: i32, p: usize, plane: i32, edge: usize, temporary: usize,
): void {
  const tilesY = (H + 3) >> 2;
  const tilesX = (W + 3) >> 2;
  const pixel = 4 * channelStride(C);
  const row = (W + 2 * halo) * pixel;
  const imageBytes = (H + 2 * halo) * row;
  const bytes = 4 * min(NR, channelStride(C) - channel);
  const groups = (bytes + 31) >> 5;
  // As in transformInputs: the last pixel of the tensor may be too short for a group of 8.
  const last = (pixel & 16) != 0 ? N * tilesY * tilesX - 1 : -1;
  let ty = (first / tilesX) % tilesY;
  let tx = first % tilesX;
  let image = dy + first / (tilesY * tilesX) * imageBytes + halo * (row + pixel);
  for (let i = 0; i < count; i++) {
    const from = image + 4 * (ty * row + tx * pixel + channel);
    const rows = min(4, H - 4 * ty);
    const across = min(4, W - 4 * tx);
    if (isFetched(pixel) && (i == 0 || tx % TILES_AHEAD == 0)) {
      // The lines of one panel: the others are read when it is their turn.
      const ahead = min(TILES_AHEAD - tx % TILES_AHEAD, count - i);
      fetchRows(from, rows, row, min(W - 4 * tx, 4 * ahead) * pixel, pixel, temporary);
    }
    if (rows == 4 && across == 4 && first + i != last) {
      transformGradient(tiling, from, row, pixel, groups, p, plane, temporary);
    } else {
      gatherPanel(from, row, pixel, bytes, rows, across, edge);
      transformGradient(tiling, edge, 4 * bytes, bytes, groups, p, plane, temporary);
    }
    p += 4 * NR;
    if (++tx == tilesX) {
      tx = 0;
      if (++ty == tilesY) {
        ty = 0;
        image += imageBytes;
      }
    }
  }
}

/**
 * du [6][lanes][NR] (+)= V^T P of one row of elements and one panel, `plane` bytes between the matrices of du. Elements
 * that share a filter are summed; with stride 2 so are rows, and those behind the last filter's are added in any case.
 */
function rowProducts(
  tiling: i32, row: i32, count: i32, v: usize, vPlane: i32, vTile: i32, p: usize, pPlane: i32,
  du: usize, plane: i32, lanes: i32, add: bool,
): void {
  const along = elementsAlong(tiling);
  for (let column = 0; column < along; column++) {
    const e = row * along + column;
    const more = add || row > LAST_FILTER || column > LAST_FILTER;
    const to = du + min(column, LAST_FILTER) * plane;
    productOfChannels(more, count, v + e * vPlane, vTile, p + e * pPlane, to, lanes);
  }
}

/**
 * half [3][channels][NR] = one row of du [6][channels][NR], transformed along it; `plane` bytes between their matrices.
 */
function transformRow(tiling: i32, du: usize, plane: i32, channels: i32, half: usize): void {
  for (let j = 0; j < NR; j += 8) {
    transformFilterGradient(tiling, channels, du + 4 * j, plane, 4 * NR, half + 4 * j, plane, 4 * NR);
  }
}

/**
 * dw [3][3][..][..] from half [6][3][channels][NR], for `channels` input and `columns` output channels; dw: the first of
 * both, with `tap` bytes between the matrices of dw.
 */
function weightsOfPanel(
  tiling: i32, half: usize, plane: i32, dw: usize, tap: i32, channels: i32, OC: i32, columns: i32, edge: usize,
): void {
  for (let tapColumn = 0; tapColumn < 3; tapColumn++) {
    for (let j = 0; j < columns; j += 8) {
      const from = half + tapColumn * plane + 4 * j;
      const to = dw + tapColumn * tap + 4 * j;
      if (j + 8 <= columns) {
        transformFilterGradient(tiling, channels, from, 3 * plane, 4 * NR, to, 3 * tap, 4 * OC);
        continue;
      }
      // Fewer than 8 columns: whole vectors aside, [3][rows][8], and then what belongs to the panel.
      for (let row = 0; row < channels; row += GROUPS) {
        const rows = min(GROUPS, channels - row);
        transformFilterGradient(tiling, rows, from + 4 * row * NR, 3 * plane, 4 * NR, edge, 32 * GROUPS, 32);
        for (let tapRow = 0; tapRow < 3; tapRow++) {
          for (let i = 0; i < rows; i++) {
            const source = edge + 32 * (tapRow * GROUPS + i);
            memory.copy(to + 3 * tapRow * tap + 4 * (row + i) * OC, source, 4 * (columns - j));
          }
        }
      }
    }
  }
}

/**
 * dw [3][3][IC][OC] = gradient of the weights of a 3x3 convolution of stride 1 or 2, summed over all N images;
 * overwritten. The sum may go on from call to call, in `sums`: `accumulate` in all but the first of them, `finish` in
 * the last one, which writes dw.
 *
 * x: [N][H + 2 xHalo][W + 2 xHalo][channelStride(IC)], xHalo >= pad.
 * dy: [N][OH + 2 dyHalo][OW + 2 dyHalo][channelStride(OC)], dyHalo any.
 * sums: `winogradSumsBytes(..)` bytes: dU. scratch: `winogradBackwardWeightsScratchBytes(..)` bytes.
 */
export function winogradBackwardWeights(
  x: usize, xHalo: i32, dy: usize, dyHalo: i32, dw: usize,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, stride: i32, pad: i32, accumulate: i32, finish: i32,
  sums: usize, scratch: usize,
): void {
  const OH = outputSize(H, stride, pad);
  const OW = outputSize(W, stride, pad);
  const tilesY = (OH + 3) >> 2;
  const tilesX = (OW + 3) >> 2;
  const tiles = N * tilesY * tilesX;
  const alone = !accumulate && finish != 0;
  if (tiles <= 0) {
    if (alone) memory.fill(dw, 0, 4 * 9 * IC * OC);
    return;
  }
  const tiling = tilingOf(stride);
  const along = elementsAlong(tiling);
  const elements = along * along;
  const block = alone ? tilesOfBlock(tiles, OC) : min(BLOCK, tiles);
  const single = alone && block == tiles;
  const lanes = channelStride(IC);
  const vTile = tileBytes(IC);
  const vPlane = planeBytes(block * vTile);
  const pPlane = planeBytes(block * 4 * NR);
  const group = single ? channelsAtOnce(tiles, lanes) : lanes;
  const duPlane = planeBytes(group * 4 * NR);
  const edge = scratch + TRANSFORM_BYTES;
  // Half-transformed weights, [6][3] matrices.
  const half = edge + edgeBytes(tiling, IC);
  const v = half + 3 * FILTERS_ALONG * duPlane;
  const p = v + elements * vPlane;
  const tap = 4 * IC * OC;
  for (let first = 0; first < tiles; first += block) {
    const count = min(block, tiles - first);
    transformInputs(tiling, x, xHalo, N, H, W, IC, pad, tilesY, tilesX, first, count, v, vPlane, edge, scratch);
    let du = sums;
    for (let channel = 0; channel < OC; channel += NR) {
      const columns = min(NR, OC - channel);
      transformGradients(tiling, dy, dyHalo, N, OH, OW, OC, channel, first, count, p, pPlane, edge, scratch);
      if (!single) {
        for (let row = 0; row < along; row++) {
          const to = du + FILTERS_ALONG * min(row, LAST_FILTER) * duPlane;
          rowProducts(tiling, row, count, v, vPlane, vTile, p, pPlane, to, duPlane, lanes, first + accumulate > 0);
        }
        du += FILTERS * duPlane;
        continue;
      }
      for (let from = 0; from < lanes; from += group) {
        for (let row = 0; row < along; row++) {
          rowProducts(
            tiling, row, count, v + 4 * from, vPlane, vTile, p, pPlane,
            sums, duPlane, min(group, lanes - from), false,
          );
          if (row >= LAST_FILTER && row < along - 1) continue;
          transformRow(tiling, sums, duPlane, min(group, IC - from), half + 3 * min(row, LAST_FILTER) * duPlane);
        }
        const to = dw + 4 * (from * OC + channel);
        weightsOfPanel(tiling, half, duPlane, to, tap, min(group, IC - from), OC, columns, edge);
      }
    }
  }
  if (single || !finish) return;
  let du = sums;
  for (let channel = 0; channel < OC; channel += NR) {
    for (let row = 0; row < FILTERS_ALONG; row++) {
      transformRow(tiling, du + FILTERS_ALONG * row * duPlane, duPlane, IC, half + 3 * row * duPlane);
    }
    weightsOfPanel(tiling, half, duPlane, dw + 4 * channel, tap, IC, OC, min(NR, OC - channel), edge);
    du += FILTERS * duPlane;
  }
}
