// A correlation with packed weight panels: the walk over panels, images, rows and tiles that the forward and the
// backward-data convolution share.
import { NR, SIX_ROWS, channelStride } from './lanes';
import { tileConvolutionHalf6, tileConvolutionQuad1, tileConvolutionQuad4 } from './conv-partial-tile';
import { tileConvolution1, tileConvolution2, tileConvolution4, tileConvolution6 } from './conv-tile';

/**
 * Weights of up to half a MiB stay in the second-level cache while one image passes through all panels; larger ones
 * pass panel by panel over all images. Decided by the shape, the same in both widths; it does not affect the bits.
 */
const RESIDENT_WEIGHT_BYTES: i32 = 524288;

/** One output row of one full panel; a shorter last tile is moved back over its neighbour, whose outputs it repeats. */
function fullRow(
  columns: i32, kernelRows: i32, length: i32, x: usize, xRow: i32, xPixel: i32, w: usize, y: usize, yPixel: i32,
): void {
  let column = 0;
  while (column < columns) {
    const left = columns - column;
    if (columns == 1) {
      tileConvolution1(kernelRows, length, x, xRow, xPixel, w, y, yPixel);
      column += 1;
    } else if (columns < 4) {
      const first = min(column, columns - 2);
      tileConvolution2(kernelRows, length, x + first * xPixel, xRow, xPixel, w, y + first * yPixel, yPixel);
      column += 2;
    } else if (SIX_ROWS && (left == 6 || left > 8 || (left == 5 && columns > 5))) {
      // 7 and 8 are two tiles of four; 5 is one of six, moved back by one.
      const first = left == 5 ? column - 1 : column;
      tileConvolution6(kernelRows, length, x + first * xPixel, xRow, xPixel, w, y + first * yPixel, yPixel);
      column += 6;
    } else {
      const first = left < 4 ? columns - 4 : column;
      tileConvolution4(kernelRows, length, x + first * xPixel, xRow, xPixel, w, y + first * yPixel, yPixel);
      column += 4;
    }
  }
}

/** One output row of 4 channels. */
function quadRow(
  columns: i32, kernelRows: i32, length: i32, x: usize, xRow: i32, xPixel: i32, w: usize, y: usize, yPixel: i32,
): void {
  if (columns < 4) {
    for (let column = 0; column < columns; column++) {
      tileConvolutionQuad1(kernelRows, length, x + column * xPixel, xRow, w, y + column * yPixel);
    }
    return;
  }
  for (let column = 0; column < columns; column += 4) {
    const first = min(column, columns - 4);
    tileConvolutionQuad4(kernelRows, length, x + first * xPixel, xRow, xPixel, w, y + first * yPixel, yPixel);
  }
}

/** One output row of `quads` groups of 4 channels of a panel that is not full: nothing else of y is written. */
function partialRow(
  columns: i32, kernelRows: i32, length: i32, x: usize, xRow: i32, xPixel: i32, w: usize, y: usize, yPixel: i32,
  quads: i32,
): void {
  let quad = 0;
  if (NR == 16 && quads >= 2 && columns >= 6) {
    for (let column = 0; column < columns; column += 6) {
      const first = min(column, columns - 6);
      tileConvolutionHalf6(kernelRows, length, x + first * xPixel, xRow, xPixel, w, y + first * yPixel, yPixel);
    }
    quad = 2;
  }
  for (; quad < quads; quad++) {
    quadRow(columns, kernelRows, length, x, xRow, xPixel, w + 16 * quad, y + 16 * quad, yPixel);
  }
}

/** All rows of one image for one panel. */
function correlateImage(
  rows: i32, columns: i32, kernelRows: i32, length: i32,
  x: usize, xRowStep: i32, xRow: i32, xPixel: i32, w: usize, y: usize, yRow: i32, yPixel: i32, quads: i32,
): void {
  for (let row = 0; row < rows; row++) {
    if (quads * 4 == NR) fullRow(columns, kernelRows, length, x, xRow, xPixel, w, y, yPixel);
    else partialRow(columns, kernelRows, length, x, xRow, xPixel, w, y, yPixel, quads);
    x += xRowStep;
    y += yRow;
  }
}

/**
 * y[n][row][column][channel] = sum over kernel rows, then over `length` consecutive floats, of x * w, in this order.
 *
 * All distances in bytes. x: what the first output pixel reads first; xImage, xRowStep, xPixel: from one output image,
 * row, pixel to the next; xRow: from one kernel row to the next.
 * w: panels [ceil(channels / NR)][kernelRows][length][NR].
 * y: the first output pixel; yImage, yRow, yPixel likewise. Writes the padding lanes of y as well (w is zero there).
 */
export function correlate(
  images: i32, rows: i32, columns: i32, channels: i32, kernelRows: i32, length: i32,
  x: usize, xImage: i32, xRowStep: i32, xRow: i32, xPixel: i32, w: usize, y: usize, yImage: i32, yRow: i32, yPixel: i32,
): void {
  if (rows <= 0 || columns <= 0) return;
  if (xRowStep == columns * xPixel && yRow == columns * yPixel) {
    // Rows without a gap, as in a 1x1 convolution without halos, are one long row: fewer tiles overlap.
    columns *= rows;
    rows = 1;
  }
  const panelBytes = 4 * kernelRows * length * NR;
  const lanes = channelStride(channels);
  const resident = 4 * kernelRows * length * ((channels + 15) & ~15) <= RESIDENT_WEIGHT_BYTES;
  const outer = resident ? images : 1;
  const inner = resident ? 1 : images;
  for (let o = 0; o < outer; o++) {
    for (let channel = 0; channel < lanes; channel += NR) {
      const panel = w + (channel / NR) * panelBytes;
      for (let n = o; n < o + inner; n++) {
        correlateImage(
          rows, columns, kernelRows, length, x + n * xImage, xRowStep, xRow, xPixel,
          panel, y + n * yImage + 4 * channel, yRow, yPixel, min(NR, lanes - channel) >> 2,
        );
      }
    }
  }
}
