// Transformed filters U = G w G^T, packed for the products of winograd-forward.ts.
import { NR, channelStride } from './lanes';
import { transpose4 } from './transpose';
import { ELEMENTS, TRANSFORM_BYTES, planeBytes, transformFilter } from './winograd-tiles';

/** Rows of a patch: so many channels of the sum are transformed together. */
const PATCH_ROWS: i32 = 16;
/** Bytes from one kernel place of a patch to the next: [9][PATCH_ROWS][8]. */
const PATCH_TAP: i32 = 512;

/** patch[tap][row][column] = w[tap][firstRow + row][firstColumn + column], zero outside of the IC x OC weights. */
function fillPatch(w: usize, IC: i32, OC: i32, firstRow: i32, firstColumn: i32, patch: usize): void {
  const rows = min(PATCH_ROWS, IC - firstRow);
  const columns = min(8, OC - firstColumn);
  memory.fill(patch, 0, 9 * PATCH_TAP);
  for (let tap = 0; tap < 9; tap++) {
    for (let row = 0; row < rows; row++) {
      const from = w + 4 * ((tap * IC + firstRow + row) * OC + firstColumn);
      for (let j = 0; j < columns; j++) store<f32>(patch + 32 * row + 4 * j, load<f32>(from + 4 * j));
    }
    patch += PATCH_TAP;
  }
}

/** patch[tap][row][column] = w[8 - tap][firstColumn + column][firstRow + row]: rotated and transposed, zero outside. */
function fillRotatedPatch(w: usize, IC: i32, OC: i32, firstRow: i32, firstColumn: i32, patch: usize): void {
  const rows = min(PATCH_ROWS, OC - firstRow);
  const columns = min(8, IC - firstColumn);
  const whole = rows == PATCH_ROWS && columns == 8;
  if (!whole) memory.fill(patch, 0, 9 * PATCH_TAP);
  for (let tap = 8; tap >= 0; tap--) {
    const from = w + 4 * ((tap * IC + firstColumn) * OC + firstRow);
    if (whole) {
      for (let row = 0; row < PATCH_ROWS; row += 4) {
        transpose4(from + 4 * row, 4 * OC, patch + 32 * row, 32);
        transpose4(from + 4 * row + 16 * OC, 4 * OC, patch + 32 * row + 16, 32);
      }
    } else {
      for (let row = 0; row < rows; row++) {
        for (let j = 0; j < columns; j++) {
          store<f32>(patch + 32 * row + 4 * j, load<f32>(from + 4 * (j * OC + row)));
        }
      }
    }
    patch += PATCH_TAP;
  }
}

/** Where the packed filters end and the pack kernels' own scratch begins. */
function packedEnd(packed: usize, depth: i32, columns: i32): usize {
  return packed + (columns + NR - 1) / NR * ELEMENTS * planeBytes(4 * NR * channelStride(depth));
}

/**
 * Packs w [3][3][IC][OC] into [ceil(OC / NR)][36][channelStride(IC)][NR], the planes of the 36 elements an odd number of cache
 * lines long, zero where there is no channel. `winogradPackedBytes(IC, OC)` counts scratch behind the last panel.
 */
export function winogradPackForward(w: usize, packed: usize, IC: i32, OC: i32): void {
  const plane = planeBytes(4 * NR * channelStride(IC));
  const temporary = packedEnd(packed, IC, OC);
  const patch = temporary + TRANSFORM_BYTES;
  for (let panel = 0; panel < OC; panel += NR) {
    for (let row = 0; row < IC; row += PATCH_ROWS) {
      const rows = min(PATCH_ROWS, channelStride(IC) - row);
      for (let j = 0; j < NR; j += 8) {
        const column = panel + j;
        const to = packed + 4 * (row * NR + j);
        if (column + 8 <= OC && row + rows <= IC) {
          transformFilter(rows, w + 4 * (row * OC + column), 4 * IC * OC, 4 * OC, to, plane, 4 * NR, temporary);
        } else {
          fillPatch(w, IC, OC, row, column, patch);
          transformFilter(rows, patch, PATCH_TAP, 32, to, plane, 4 * NR, temporary);
        }
      }
    }
    packed += ELEMENTS * plane;
  }
}

/**
 * Packs w [3][3][IC][OC] for winogradBackwardData: the rotated filters, [ceil(IC / NR)][36][channelStride(OC)][NR].
 * `winogradPackedBackwardDataBytes(IC, OC)` counts scratch behind the last panel.
 */
export function winogradPackBackwardData(w: usize, packed: usize, IC: i32, OC: i32): void {
  const plane = planeBytes(4 * NR * channelStride(OC));
  const temporary = packedEnd(packed, OC, IC);
  const patch = temporary + TRANSFORM_BYTES;
  for (let panel = 0; panel < IC; panel += NR) {
    for (let row = 0; row < OC; row += PATCH_ROWS) {
      const rows = min(PATCH_ROWS, channelStride(OC) - row);
      for (let j = 0; j < NR; j += 8) {
        fillRotatedPatch(w, IC, OC, row, panel + j, patch);
        transformFilter(rows, patch, PATCH_TAP, 32, packed + 4 * (row * NR + j), plane, 4 * NR, temporary);
      }
    }
    packed += ELEMENTS * plane;
  }
}
