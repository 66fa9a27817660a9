// Transforming a block of tiles of an activation, shared by the passes.
import { TILES_AHEAD, fetchRows, isFetched } from './fetch';
import { channelStride } from './lanes';
import { gatherTile, groupsOf, inputStep, inputsAlong, tileBytes, transformInput } from './winograd-tiles';

/**
 * V = B^T d B for tiles first .. first + count - 1 of x, into v [elements][count][tileBytes], `plane` bytes from
 * element to element.
 *
 * x: [N][H + 2 halo][W + 2 halo][channelStride(C)]. Tile (ty, tx) of an image begins at pixel (step ty - pad,
 * step tx - pad); tiles are numbered image by image, row by row. Tiles that reach beyond the halo go through `edge`,
 * filled up with zeros.
 */
export function transformInputs(
  tiling: i32, x: usize, halo: i32, N: i32, H: i32, W: i32, C: i32, pad: i32, tilesY: i32, tilesX: i32,
  first: i32, count: i32, v: usize, plane: i32, edge: usize, temporary: usize,
): void {
  const pixel = 4 * channelStride(C);
  const row = (W + 2 * halo) * pixel;
  const imageBytes = (H + 2 * halo) * row;
  const tileStep = tileBytes(C);
  const groups = groupsOf(C);
  const size = inputsAlong(tiling);
  const step = inputStep(tiling);
  // The last group of 8 may read 4 channels of the next pixel: harmless lanes, but the tensor's last pixel has no next
  // one.
  const short = (pixel & 16) != 0;
  let ty = (first / tilesX) % tilesY;
  let tx = first % tilesX;
  let n = first / (tilesY * tilesX);
  let image = x + n * imageBytes + halo * (row + pixel);
  for (let i = 0; i < count; i++) {
    const top = step * ty - pad;
    const left = step * tx - pad;
    const below = H + halo - (top + size);
    const beside = W + halo - (left + size);
    if (isFetched(pixel) && (i == 0 || tx % TILES_AHEAD == 0)) {
      const ahead = min(TILES_AHEAD - tx % TILES_AHEAD, min(tilesX - tx, count - i));
      // The rows above were read for the tiles above.
      const upper = max(-halo, ty > 0 ? top + size - step : top);
      const begin = max(-halo, left);
      const end = min(W + halo, left + step * (ahead - 1) + size);
      const bytes = (end - begin) * pixel;
      fetchRows(image + upper * row + begin * pixel, min(H + halo, top + size) - upper, row, bytes, 64, temporary);
    }
    const last = short && n == N - 1 && below <= 0 && beside <= 0;
    if (top >= -halo && left >= -halo && below >= 0 && beside >= 0 && !last) {
      transformInput(tiling, image + top * row + left * pixel, row, pixel, groups, v, plane, temporary);
    } else {
      gatherTile(image, row, pixel, halo, H, W, top, left, size, edge);
      transformInput(tiling, edge, size * pixel, pixel, groups, v, plane, temporary);
    }
    v += tileStep;
    if (++tx == tilesX) {
      tx = 0;
      if (++ty == tilesY) {
        ty = 0;
        n += 1;
        image += imageBytes;
      }
    }
  }
}
