// Transforming a block of tiles of an activation, shared by the passes.
import { channelStride } from './lanes';
import { gatherTile, groupsOf, tileBytes, transformInput } from './winograd-tiles';

/**
 * V = B^T d B for tiles first .. first + count - 1 of x, into v [36][count][tileBytes], `plane` bytes from element to
 * element.
 *
 * x: [N][H + 2 halo][W + 2 halo][channelStride(C)]. Tile (ty, tx) of an image begins at pixel (4 ty - pad, 4 tx - pad);
 * tiles are numbered image by image, row by row. Tiles that reach beyond the halo go through `edge`, filled up with
 * zeros.
 */
export function transformInputs(
  x: usize, halo: i32, N: i32, H: i32, W: i32, C: i32, pad: i32, tilesY: i32, tilesX: i32,
  first: i32, count: i32, v: usize, plane: i32, edge: usize, temporary: usize,
): void {
  const pixel = 4 * channelStride(C);
  const row = (W + 2 * halo) * pixel;
  const imageBytes = (H + 2 * halo) * row;
  const step = tileBytes(C);
  const groups = groupsOf(C);
  // The last group of 8 may read 4 channels of the next pixel: harmless lanes, but the tensor's last pixel has no next
  // one.
  const last = (pixel & 16) != 0 ? N * tilesY * tilesX - 1 : -1;
  let ty = (first / tilesX) % tilesY;
  let tx = first % tilesX;
  let image = x + first / (tilesY * tilesX) * imageBytes + halo * (row + pixel);
  for (let i = 0; i < count; i++) {
    const top = 4 * ty - pad;
    const left = 4 * tx - pad;
    const inside = top >= -halo && left >= -halo && top + 6 <= H + halo && left + 6 <= W + halo;
    if (inside && first + i != last) {
      transformInput(image + top * row + left * pixel, row, pixel, groups, v, plane, temporary);
    } else {
      gatherTile(image, row, pixel, halo, H, W, top, left, edge);
      transformInput(edge, 6 * pixel, pixel, groups, v, plane, temporary);
    }
    v += step;
    if (++tx == tilesX) {
      tx = 0;
      if (++ty == tilesY) {
        ty = 0;
        image += imageBytes;
      }
    }
  }
}
