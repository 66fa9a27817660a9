// Winograd convolution of 3x3 filters, gradient of the weights: the exact gradient of what winograd-forward.ts computes.
//
// With V = B^T x B and P = A dy A^T for each tile: dU = sum over tiles of V^T P, element by element, and dw = G^T dU G.
// With stride 2 several elements share a filter, and dU is the sum over them too.
// The tiles are cut into blocks by the shape alone; a block's sum is formed in one accumulator, tile after tile, and
// the blocks' sums are added in order.
import { tileWeights4, tileWeights6 } from './conv-weights-tile';
import { NR, SIX_ROWS, channelStride } from './lanes';
import { placeTile } from './tile-store';
import { transformInputs } from './winograd-inputs';
import { outputs } from './winograd-forward';
import {
  DOWN, FILTERS, GROUPS, PLAIN, TRANSFORM_BYTES, edgeBytes, elementsAlong, filterOf, planeBytes, tileBytes,
  transformFilterGradient, transformGradient,
} from './winograd-tiles';

/** Tiles of a block when there are many. */
const BLOCK: i32 = 96;
/**
 * So many tiles are one block, or as many as there are output channels: then V of all tiles is smaller than all of dU.
 */
const LEAST_SINGLE: i32 = 128;

/** Bytes in front of the buffers: one product tile of 6 x 16. */
const TILE_BYTES: i32 = 384;

/** Tiles of a block, from the shape alone: it orders the sum. */
function tilesOfBlock(tiles: i32, OC: i32): i32 {
  return tiles <= max(LEAST_SINGLE, (OC + 15) & ~15) ? tiles : BLOCK;
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

/** du [channelStride(IC)][NR] (+)= V^T P of one element and one panel, over `count` tiles. */
function weightProduct(
  count: i32, v: usize, vTile: i32, p: usize, du: usize, lanes: i32, add: bool, tile: usize,
): void {
  let channel = 0;
  while (channel < lanes) {
    // 4 and 8 channels are tiles of four; anything else begins with six and ends in fours.
    const left = lanes - channel;
    const height = !SIX_ROWS || left == 4 || left == 8 ? 4 : 6;
    const out = add || left < height ? tile : du;
    if (height == 6) tileWeights6(1, 1, count, v, vTile, 0, 0, p, out);
    else tileWeights4(1, 1, count, v, vTile, 0, 0, p, out);
    if (out == tile) placeTile(tile, du, 4 * NR, min(height, left), NR, add);
    v += 4 * height;
    du += 4 * NR * height;
    channel += height;
  }
}

/** dw [3][3][IC][..] = G^T du G for the `columns` output channels of one panel; dw: its first one. */
function weightsOfPanel(
  tiling: i32, du: usize, plane: i32, dw: usize, IC: i32, OC: i32, columns: i32, edge: usize, temporary: usize,
): void {
  for (let row = 0; row < IC; row += GROUPS) {
    const rows = min(GROUPS, IC - row);
    for (let j = 0; j < columns; j += 8) {
      const from = du + 4 * (row * NR + j);
      const to = dw + 4 * (row * OC + j);
      if (j + 8 <= columns) {
        transformFilterGradient(tiling, rows, from, plane, 4 * NR, to, 4 * IC * OC, 4 * OC, temporary);
        continue;
      }
      // Fewer than 8 columns: whole vectors aside, [3][3][rows][8], and then what belongs to the panel.
      transformFilterGradient(tiling, rows, from, plane, 4 * NR, edge, 32 * GROUPS, 32, temporary);
      for (let tap = 0; tap < 9; tap++) {
        for (let i = 0; i < rows; i++) {
          memory.copy(to + 4 * (tap * IC + i) * OC, edge + 32 * (tap * GROUPS + i), 4 * (columns - j));
        }
      }
    }
  }
}

/**
 * dw [3][3][IC][OC] = gradient of the weights of a 3x3 convolution of stride 1 or 2, summed over all N images;
 * overwritten.
 *
 * x: [N][H + 2 xHalo][W + 2 xHalo][channelStride(IC)], xHalo >= pad.
 * dy: [N][OH + 2 dyHalo][OW + 2 dyHalo][channelStride(OC)], dyHalo any.
 * scratch: `winogradBackwardWeightsScratchBytes(..)` bytes.
 */
export function winogradBackwardWeights(
  x: usize, xHalo: i32, dy: usize, dyHalo: i32, dw: usize,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, stride: i32, pad: i32, scratch: usize,
): void {
  const OH = outputs(H, stride, pad);
  const OW = outputs(W, stride, pad);
  const tilesY = (OH + 3) >> 2;
  const tilesX = (OW + 3) >> 2;
  const tiles = N * tilesY * tilesX;
  if (tiles <= 0) {
    memory.fill(dw, 0, 4 * 9 * IC * OC);
    return;
  }
  const tiling = stride == 2 ? DOWN : PLAIN;
  const along = elementsAlong(tiling);
  const elements = along * along;
  const block = tilesOfBlock(tiles, OC);
  const single = block == tiles;
  const lanes = channelStride(IC);
  const vTile = tileBytes(IC);
  const vPlane = planeBytes(block * vTile);
  const pPlane = planeBytes(block * 4 * NR);
  const duPlane = planeBytes(lanes * 4 * NR);
  const tile = scratch + TRANSFORM_BYTES;
  const edge = tile + TILE_BYTES;
  const v = edge + edgeBytes(tiling, IC);
  // Six channels are read at a time, so up to two beyond the last of V: 64 bytes lie between.
  const p = v + elements * vPlane + 64;
  const allDu = p + elements * pPlane;
  for (let first = 0; first < tiles; first += block) {
    const count = min(block, tiles - first);
    transformInputs(tiling, x, xHalo, N, H, W, IC, pad, tilesY, tilesX, first, count, v, vPlane, edge, scratch);
    let du = allDu;
    for (let channel = 0; channel < OC; channel += NR) {
      transformGradients(tiling, dy, dyHalo, N, OH, OW, OC, channel, first, count, p, pPlane, edge, scratch);
      for (let e = 0; e < elements; e++) {
        // The sixth filter along an axis is that of all elements behind it.
        const add = first > 0 || e / along > 5 || e % along > 5;
        const to = du + filterOf(tiling, e) * duPlane;
        weightProduct(count, v + e * vPlane, vTile, p + e * pPlane, to, lanes, add, tile);
      }
      if (single) {
        weightsOfPanel(tiling, du, duPlane, dw + 4 * channel, IC, OC, min(NR, OC - channel), edge, scratch);
      } else du += FILTERS * duPlane;
    }
  }
  if (single) return;
  let du = allDu;
  for (let channel = 0; channel < OC; channel += NR) {
    weightsOfPanel(tiling, du, duPlane, dw + 4 * channel, IC, OC, min(NR, OC - channel), edge, scratch);
    du += FILTERS * duPlane;
  }
}
