// Winograd convolution F(4x4, 3x3), forward and gradient of the input: 36 matrix products instead of nine, over 16
// times fewer rows.
//
// Block of tiles by block of tiles: V = B^T x B; then, for each panel of NR output channels, M = V U in 36 products,
// and at once y = A^T M A. So M is small, and V fits the second-level cache. One product element is summed over the
// input channels in order, in one accumulator: the bits depend neither on the block nor on NR.
import { correlate } from './correlation';
import { zeroHalo } from './halo';
import { NR, channelStride } from './lanes';
import { transformInputs } from './winograd-inputs';
import { keepsTransformed, rawPanelBytes, transformPanel } from './winograd-pack';
import { ELEMENTS, TRANSFORM_BYTES, edgeBytes, planeBytes, tileBytes, transformOutput } from './winograd-tiles';

/** Bytes of V and of one panel's products in a block, of the second-level cache. */
const BLOCK_BYTES: i32 = 307200;
/** The same where each block transforms the filters anew: the fewer the better, though V leaves that cache. */
const LARGE_BLOCK_BYTES: i32 = 4915200;
/** Tiles of a block at least. */
const LEAST_BLOCK: i32 = 24;

/** Tiles of a block: a multiple of 6, the height of a product's register tile, unless there are fewer. */
function tilesOfBlock(tiles: i32, channels: i32, kept: bool): i32 {
  const bytes = kept ? BLOCK_BYTES : LARGE_BLOCK_BYTES;
  const fitting = bytes / (4 * ELEMENTS * (channelStride(channels) + 16)) / 6 * 6;
  return min(tiles, max(LEAST_BLOCK, fitting));
}

/**
 * y = A^T M A for tiles first .. first + count - 1 and `columns` channels; y: its first pixel's first of these
 * channels.
 */
function transformOutputs(
  m: usize, plane: i32, columns: i32, first: i32, count: i32,
  y: usize, image: i32, row: i32, pixel: i32, H: i32, W: i32, edge: usize, temporary: usize,
): void {
  const tilesY = (H + 3) >> 2;
  const tilesX = (W + 3) >> 2;
  const groups = (columns + 7) >> 3;
  let ty = (first / tilesX) % tilesY;
  let tx = first % tilesX;
  let from = y + first / (tilesY * tilesX) * image;
  for (let i = 0; i < count; i++) {
    const to = from + 4 * (ty * row + tx * pixel);
    const rows = min(4, H - 4 * ty);
    const across = min(4, W - 4 * tx);
    if (rows == 4 && across == 4 && (columns & 7) == 0) {
      transformOutput(m, plane, groups, to, row, pixel, temporary);
    } else {
      // Only part of the tile exists: pixels beyond the edge, or lanes that belong to the next pixel, are left out.
      transformOutput(m, plane, groups, edge, 16 * NR, 4 * NR, temporary);
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < across; c++) {
          const source = edge + 4 * NR * (4 * r + c);
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
 * The stride-free 3x3 correlation of x, padded by `pad` on every side, with transformed filters; all of y's interior is
 * written.
 */
function correlateTiles(
  x: usize, xHalo: i32, packed: usize, y: usize, yHalo: i32,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, pad: i32, scratch: usize,
): void {
  const OH = H + 2 * pad - 2;
  const OW = W + 2 * pad - 2;
  if (N <= 0 || OH <= 0 || OW <= 0) return;
  const yPixel = 4 * channelStride(OC);
  const yRow = (OW + 2 * yHalo) * yPixel;
  const inside = y + yHalo * (yRow + yPixel);
  const tilesY = (OH + 3) >> 2;
  const tilesX = (OW + 3) >> 2;
  const tiles = N * tilesY * tilesX;
  const kept = keepsTransformed(IC, OC);
  const block = tilesOfBlock(tiles, IC, kept);
  const lanes = channelStride(IC);
  const vTile = tileBytes(IC);
  const vPlane = planeBytes(block * vTile);
  const mPlane = planeBytes(block * 4 * NR);
  const uPlane = planeBytes(lanes * 4 * NR);
  const edge = scratch + TRANSFORM_BYTES;
  const v = edge + edgeBytes(IC);
  const m = v + ELEMENTS * vPlane;
  const ownU = m + ELEMENTS * mPlane;
  const panelBytes = kept ? ELEMENTS * uPlane : rawPanelBytes(IC);
  for (let first = 0; first < tiles; first += block) {
    const count = min(block, tiles - first);
    transformInputs(x, xHalo, N, H, W, IC, pad, tilesY, tilesX, first, count, v, vPlane, edge, scratch);
    let panel = packed;
    for (let channel = 0; channel < channelStride(OC); channel += NR) {
      const columns = min(NR, channelStride(OC) - channel);
      if (!kept) transformPanel(panel, IC, ownU, uPlane, scratch);
      const u = kept ? panel : ownU;
      for (let e = 0; e < ELEMENTS; e++) {
        correlate(
          1, 1, count, columns, 1, lanes,
          v + e * vPlane, 0, 0, 0, vTile, u + e * uPlane, m + e * mPlane, 0, 0, 4 * NR,
        );
      }
      panel += panelBytes;
      transformOutputs(
        m, mPlane, columns, first, count,
        inside + 4 * channel, (OH + 2 * yHalo) * yRow, yRow, yPixel, OH, OW, edge, scratch,
      );
    }
  }
}

/**
 * y = 3x3 convolution of x with stride 1, with the packed filters of winogradPackForward.
 *
 * x: [N][H + 2 xHalo][W + 2 xHalo][channelStride(IC)], xHalo >= pad.
 * y: [N][OH + 2 yHalo][OW + 2 yHalo][channelStride(OC)], written whole: interior, padding lanes (zero) and halo (zero);
 * OH = H + 2 pad - 2. scratch: `winogradScratchBytes(..)`.
 */
export function winogradForward(
  x: usize, xHalo: i32, packed: usize, y: usize, yHalo: i32,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, pad: i32, scratch: usize,
): void {
  zeroHalo(y, yHalo, N, H + 2 * pad - 2, W + 2 * pad - 2, channelStride(OC));
  correlateTiles(x, xHalo, packed, y, yHalo, N, H, W, IC, OC, pad, scratch);
}

/**
 * dx = gradient of the convolution's input: the correlation of dy, padded by 2 - pad, with the rotated filters, from
 * winogradPackBackwardData.
 *
 * dy: [N][OH + 2 dyHalo][OW + 2 dyHalo][channelStride(OC)] with zeros in the halo, any dyHalo.
 * dx: [N][H][W][channelStride(IC)], overwritten whole, padding lanes with zero.
 * N .. pad describe the forward convolution, pad <= 2. scratch: `winogradBackwardDataScratchBytes(..)`.
 */
export function winogradBackwardData(
  dy: usize, dyHalo: i32, packed: usize, dx: usize,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, pad: i32, scratch: usize,
): void {
  correlateTiles(
    dy, dyHalo, packed, dx, 0, N, H + 2 * pad - 2, W + 2 * pad - 2, OC, IC, 2 - pad, scratch,
  );
}
