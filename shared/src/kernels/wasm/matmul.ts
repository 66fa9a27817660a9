// Matrix product with packed panels and register tiles.
//
// K is cut into blocks of 256. Each block of one output element is summed in one accumulator, k ascending, and the
// block sums are added to C in order: that is the bits contract, and nothing else in here affects the bits.
import { NR, SIX_ROWS } from './lanes';
import { tileProduct4, tileProduct6 } from './matmul-tile';
import { placeTile } from './tile-store';
import { transpose4 } from './transpose';

/** Rows of a register tile. */
const MR: i32 = SIX_ROWS ? 6 : 4;
/** Depth of a block: a panel of B, 256 x 16 floats, fills half a first-level cache. */
const K_BLOCK: i32 = 256;
/** Rows of A packed at a time: 96 x 256 floats stay in the second-level cache. */
const M_BLOCK: i32 = 96;
/** Columns of B packed at a time: 1 MiB. */
const N_BLOCK: i32 = 1024;
/** Bytes in front of the packed operands: one tile of 6 x 16. `matmulScratchBytes` counts on it. */
const TILE_BYTES: i32 = 384;

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

// @ts-ignore: decorator
@inline
function tileProduct(depth: i32, a: usize, b: usize, c: usize, cRow: i32): void {
  if (SIX_ROWS) tileProduct6(depth, a, b, c, cRow);
  else tileProduct4(depth, a, b, c, cRow);
}

/** All register tiles of one packed block of A (rows x depth) and of B (depth x columns) into c. */
function multiplyPacked(
  rows: i32, columns: i32, depth: i32, packedA: usize, packedB: usize, c: usize, ldc: i32, add: bool, tile: usize,
): void {
  for (let j = 0; j < columns; j += NR) {
    const panel = packedB + 4 * j * depth;
    const tileColumns = min(NR, columns - j);
    for (let i = 0; i < rows; i += MR) {
      const block = packedA + 4 * i * depth;
      const target = c + 4 * (i * ldc + j);
      const tileRows = min(MR, rows - i);
      if (!add && tileRows == MR && tileColumns == NR) {
        tileProduct(depth, block, panel, target, 4 * ldc);
      } else {
        tileProduct(depth, block, panel, tile, 4 * NR);
        placeTile(tile, target, 4 * ldc, tileRows, tileColumns, add);
      }
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
  const packedA = packedB + 4 * min(K, K_BLOCK) * ((min(N, N_BLOCK) + 15) & ~15);
  for (let j = 0; j < N; j += N_BLOCK) {
    const columns = min(N_BLOCK, N - j);
    for (let k = 0; k < K; k += K_BLOCK) {
      const depth = min(K_BLOCK, K - k);
      const blockB = B + 4 * (transB ? j * ldb + k : k * ldb + j);
      packPanels(blockB, ldb, transB != 0, columns, NR, depth, packedB);
      for (let i = 0; i < M; i += M_BLOCK) {
        const rows = min(M_BLOCK, M - i);
        const blockA = A + 4 * (transA ? k * lda + i : i * lda + k);
        packPanels(blockA, lda, transA == 0, rows, MR, depth, packedA);
        const target = C + 4 * (i * ldc + j);
        multiplyPacked(rows, columns, depth, packedA, packedB, target, ldc, k > 0 || accumulate != 0, scratch);
      }
    }
  }
}
