// Matrix product: B in packed panels, A as it lies in memory, register tiles.
//
// K is cut into blocks, but a sum goes on from block to block: one accumulator for each output element, from C or from
// zero, k ascending. That is the bits contract, and nothing else in here affects the bits.
import { NR, SIX_ROWS } from './lanes';
import { exactRows, productOfRows } from './product-tile';
import { placeTile } from './tile-store';
import { transpose4 } from './transpose';

/** Depth of a block: a panel of B, 256 x 16 floats, fills half a first-level cache. */
const K_BLOCK: i32 = 256;
/** Rows of A used at a time: 96 x 256 floats stay in the second-level cache. */
const M_BLOCK: i32 = 96;
/** Columns of B packed at a time: 1 MiB. */
const N_BLOCK: i32 = 1024;
/** Bytes in front of the packed operands: one tile of 6 x 16. `matmulScratchBytes` counts on it. */
const TILE_BYTES: i32 = 384;

/** Copies NR neighbouring floats of `depth` rows, fromRow bytes apart, to [depth][NR]. */
export function tilePackRows(depth: i32, from: usize, fromRow: i32, to: usize): void {
  if (depth > 0) do {
    const a0 = v128.load(from), a1 = v128.load(from, 16);
    let a2 = a0, a3 = a1;
    if (NR == 16) {
      a2 = v128.load(from, 32);
      a3 = v128.load(from, 48);
    }
    v128.store(to, a1, 16);
    v128.store(to, a0);
    if (NR == 16) {
      v128.store(to, a3, 48);
      v128.store(to, a2, 32);
    }
    from += fromRow;
    to += 4 * NR;
  } while (--depth);
}

/**
 * Packs `lines` neighbouring lines of a matrix into one panel [depth][width], zero where lines < width.
 *
 * Element k of line i is at from + 4 * (i * lineStep + k) when `alongDepth`, else at from + 4 * (k * lineStep + i).
 */
function packPanel(
  from: usize, lineStep: i32, alongDepth: bool, lines: i32, width: i32, depth: i32, panel: usize,
): void {
  const step = 4 * width;
  if (lines < width) memory.fill(panel, 0, step * depth);
  if (!alongDepth && lines == NR && width == NR) {
    tilePackRows(depth, from, 4 * lineStep, panel);
    return;
  }
  if (!alongDepth) {
    for (let k = 0; k < depth; k++) {
      const source = from + 4 * k * lineStep;
      const target = panel + k * step;
      let i = 0;
      for (; i + 4 <= lines; i += 4) v128.store(target + 4 * i, v128.load(source + 4 * i));
      for (; i < lines; i++) store<f32>(target + 4 * i, load<f32>(source + 4 * i));
    }
    return;
  }
  let i = 0;
  for (; i + 4 <= lines; i += 4) {
    const source = from + 4 * i * lineStep;
    const target = panel + 4 * i;
    let k = 0;
    for (; k + 4 <= depth; k += 4) transpose4(source + 4 * k, 4 * lineStep, target + k * step, step);
    for (; k < depth; k++) {
      for (let j = 0; j < 4; j++) store<f32>(target + k * step + 4 * j, load<f32>(source + 4 * (j * lineStep + k)));
    }
  }
  for (; i < lines; i++) {
    const source = from + 4 * i * lineStep;
    const target = panel + 4 * i;
    for (let k = 0; k < depth; k++) store<f32>(target + k * step, load<f32>(source + 4 * k));
  }
}

/** Packs lines in panels of `width`, one behind the other; arguments as in packPanel. */
function packPanels(
  from: usize, lineStep: i32, alongDepth: bool, lines: i32, width: i32, depth: i32, panels: usize,
): void {
  for (let i = 0; i < lines; i += width) {
    const first = from + 4 * i * (alongDepth ? lineStep : 1);
    packPanel(first, lineStep, alongDepth, min(width, lines - i), width, depth, panels + 4 * i * depth);
  }
}

/** Rows of A that tiles cover only together with rows that do not exist, as [rows][depth]. */
function copyRows(from: usize, fromRow: i32, rows: i32, depth: i32, to: usize): void {
  for (let i = 0; i < rows; i++) memory.copy(to + 4 * i * depth, from + i * fromRow, 4 * depth);
}

/** c (+)= a b for `rows` x `columns` of one tile, by way of scratch; as many rows of a as the tile is high. */
function partialTile(
  more: bool, rows: i32, columns: i32, depth: i32, a: usize, aRow: i32, panel: usize, c: usize, cRow: i32, tile: usize,
): void {
  if (more) {
    for (let i = 0; i < rows; i++) memory.copy(tile + 4 * i * NR, c + i * cRow, 4 * columns);
  }
  productOfRows(more, rows, depth, a, aRow, panel, tile, 4 * NR);
  placeTile(tile, c, cRow, rows, columns, false);
}

/**
 * c (+)= a b for a block of A and the packed block of B (depth x columns). `last`: those rows of a that are no exact
 * number of tiles, at full height.
 */
function multiplyBlock(
  more: bool, rows: i32, columns: i32, depth: i32, a: usize, aRow: i32, last: usize, packedB: usize,
  c: usize, cRow: i32, tile: usize,
): void {
  const exact = exactRows(rows);
  for (let j = 0; j < columns; j += NR) {
    const panel = packedB + 4 * j * depth;
    const width = min(NR, columns - j);
    const to = c + 4 * j;
    if (width == NR) productOfRows(more, exact, depth, a, aRow, panel, to, cRow);
    else {
      for (let i = 0; i < exact; ) {
        const height = SIX_ROWS && ((exact - i) & 3) != 0 ? 6 : 4;
        partialTile(more, height, width, depth, a + i * aRow, aRow, panel, to + i * cRow, cRow, tile);
        i += height;
      }
    }
    if (exact < rows) {
      partialTile(more, rows - exact, width, depth, last, 4 * depth, panel, to + exact * cRow, cRow, tile);
    }
  }
}

/**
 * C[M][N] = op(A)[M][K] * op(B)[K][N], plus C when accumulate is 1.
 *
 * lda, ldb, ldc: floats between rows as stored. transA = 1: A is stored [K][M]; transB = 1: B is stored [N][K].
 * Reads and writes nothing outside the logical matrices. scratch: `matmulScratchBytes(M, N, K)` bytes.
 */
export function matmul(
  transA: i32, transB: i32, M: i32, N: i32, K: i32,
  A: usize, lda: i32, B: usize, ldb: i32, C: usize, ldc: i32, accumulate: i32, scratch: usize,
): void {
  if (K <= 0 && !accumulate) {
    for (let i = 0; i < M; i++) memory.fill(C + 4 * i * ldc, 0, 4 * N);
  }
  const packedB = scratch + TILE_BYTES;
  // Rows of A here: all of a block when they have to be transposed, else the last few.
  const ownA = packedB + 4 * min(K, K_BLOCK) * ((min(N, N_BLOCK) + 15) & ~15);
  for (let j = 0; j < N; j += N_BLOCK) {
    const columns = min(N_BLOCK, N - j);
    for (let k = 0; k < K; k += K_BLOCK) {
      const depth = min(K_BLOCK, K - k);
      packPanels(B + 4 * (transB ? j * ldb + k : k * ldb + j), ldb, transB != 0, columns, NR, depth, packedB);
      for (let i = 0; i < M; i += M_BLOCK) {
        const rows = min(M_BLOCK, M - i);
        const exact = exactRows(rows);
        const blockA = A + 4 * (transA ? k * lda + i : i * lda + k);
        let a = blockA, aRow = 4 * lda, last = ownA;
        if (transA) {
          // Packed as one panel of `depth` columns: rows of op(A).
          packPanel(blockA, lda, true, depth, depth, rows, ownA);
          a = ownA;
          aRow = 4 * depth;
          last = ownA + exact * aRow;
        } else copyRows(blockA + exact * aRow, aRow, rows - exact, depth, ownA);
        const more = k > 0 || accumulate != 0;
        multiplyBlock(more, rows, columns, depth, a, aRow, last, packedB, C + 4 * (i * ldc + j), 4 * ldc, scratch);
      }
    }
  }
}
