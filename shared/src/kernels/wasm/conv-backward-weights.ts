// Direct convolution, gradient of the weights.
//
// The output pixels of all images are cut into blocks: some whole images, or some rows of one image. The sum over a
// block is formed in one accumulator for each weight (image, row, column), and the block sums are added in order. The
// cut depends on the shape alone, so the bits do too.
import { NR, SIX_ROWS, channelStride } from './lanes';
import { tileWeights4, tileWeights6 } from './conv-weights-tile';
import { placeTile } from './tile-store';

/**
 * Pixels of a block at most (a single longer row is still one block): a packed panel of 256 x 16 floats fits the first
 * cache.
 */
const BLOCK_PIXELS: i32 = 256;
/** Bytes in front of the packed block: one tile of 6 x 16. `convBackwardWeightsScratchBytes` counts on it. */
const TILE_BYTES: i32 = 384;

/** Packs rows of dy into panels [ceil(OC / NR)][images][rows][columns][NR], zero beyond the padded channels. */
function packBlock(
  dy: usize, image: i32, row: i32, pixel: i32, images: i32, rows: i32, columns: i32, packed: usize,
): void {
  const lanes = pixel >> 2;
  for (let first = 0; first < lanes; first += NR) {
    const valid = min(NR, lanes - first);
    for (let n = 0; n < images; n++) {
      for (let r = 0; r < rows; r++) {
        let from = dy + n * image + r * row + 4 * first;
        let k = columns;
        if (valid == NR) {
          if (k > 0) do {
            const s0 = v128.load(from);
            const s1 = v128.load(from, 16);
            let s2 = s0, s3 = s0;
            if (NR == 16) {
              s2 = v128.load(from, 32);
              s3 = v128.load(from, 48);
            }
            v128.store(packed, s1, 16);
            v128.store(packed, s0);
            if (NR == 16) {
              v128.store(packed, s3, 48);
              v128.store(packed, s2, 32);
            }
            from += pixel;
            packed += 4 * NR;
          } while (--k);
        } else {
          for (; k > 0; k--) {
            let j = 0;
            for (; j < valid; j += 4) v128.store(packed + 4 * j, v128.load(from + 4 * j));
            for (; j < NR; j += 4) v128.store(packed + 4 * j, f32x4.splat(0));
            from += pixel;
            packed += 4 * NR;
          }
        }
      }
    }
  }
}

/** All tiles of one kernel place and one panel: dw[IC][columns] (+)= x^T * dy over the block. */
function weightTiles(
  images: i32, rows: i32, columns: i32, x: usize, xPixel: i32, rowSkip: i32, imageSkip: i32,
  dy: usize, dw: usize, IC: i32, OC: i32, tileColumns: i32, add: bool, tile: usize,
): void {
  const lanes = channelStride(IC);
  let channel = 0;
  while (channel < lanes) {
    // 4 and 8 channels are tiles of four; anything else begins with six and ends in fours.
    const left = lanes - channel;
    const height = !SIX_ROWS || left == 4 || left == 8 ? 4 : 6;
    const from = x + 4 * channel;
    if (height == 6) tileWeights6(images, rows, columns, from, xPixel, rowSkip, imageSkip, dy, tile);
    else tileWeights4(images, rows, columns, from, xPixel, rowSkip, imageSkip, dy, tile);
    placeTile(tile, dw + 4 * channel * OC, 4 * OC, min(height, IC - channel), tileColumns, add);
    channel += height;
  }
}

/**
 * dw [KH][KW][IC][OC] = gradient of the weights, summed over all N images, or += with `accumulate`.
 *
 * x: [N][H + 2 xHalo][W + 2 xHalo][channelStride(IC)], xHalo >= pad.
 * dy: [N][OH + 2 dyHalo][OW + 2 dyHalo][channelStride(OC)], dyHalo any.
 * scratch: `convBackwardWeightsScratchBytes(..)` bytes.
 */
export function convBackwardWeights(
  x: usize, xHalo: i32, dy: usize, dyHalo: i32, dw: usize,
  N: i32, H: i32, W: i32, IC: i32, OC: i32, KH: i32, KW: i32, stride: i32, pad: i32, accumulate: i32, scratch: usize,
): void {
  const OH = (H + 2 * pad - KH) / stride + 1;
  const OW = (W + 2 * pad - KW) / stride + 1;
  const xPixel = 4 * channelStride(IC);
  const xRow = (W + 2 * xHalo) * xPixel;
  const xImage = (H + 2 * xHalo) * xRow;
  const dyPixel = 4 * channelStride(OC);
  const dyRow = (OW + 2 * dyHalo) * dyPixel;
  const dyImage = (OH + 2 * dyHalo) * dyRow;
  const packed = scratch + TILE_BYTES;
  if (N <= 0 && !accumulate) memory.fill(dw, 0, 4 * KH * KW * IC * OC);
  const imagesAtOnce = max(1, BLOCK_PIXELS / (OH * OW));
  const rowsAtOnce = OH * OW <= BLOCK_PIXELS ? OH : max(1, BLOCK_PIXELS / OW);
  for (let n = 0; n < N; n += imagesAtOnce) {
    const images = min(imagesAtOnce, N - n);
    for (let r = 0; r < OH; r += rowsAtOnce) {
      const rows = min(rowsAtOnce, OH - r);
      packBlock(
        dy + n * dyImage + (r + dyHalo) * dyRow + dyHalo * dyPixel, dyImage, dyRow, dyPixel, images, rows, OW, packed,
      );
      const xBlock = x + n * xImage + (r * stride + xHalo - pad) * xRow + (xHalo - pad) * xPixel;
      for (let first = 0; first < OC; first += NR) {
        const panel = packed + 4 * first * images * rows * OW;
        for (let place = 0; place < KH * KW; place++) {
          weightTiles(
            images, rows, OW, xBlock + (place / KW) * xRow + (place % KW) * xPixel,
            stride * xPixel, stride * (xRow - OW * xPixel), xImage - rows * stride * xRow,
            panel, dw + 4 * (place * IC * OC + first), IC, OC, min(NR, OC - first),
            n + r + accumulate > 0, scratch,
          );
        }
      }
    }
  }
}
