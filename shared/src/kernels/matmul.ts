/** The matrix product, for dense layers. */
import { defineKernel } from './kernel.ts';

/** Blocking of `wasm/matmul.ts`; scratch depends on it. */
const kBlock = 256;
const mBlock = 96;
const nBlock = 1024;
/** Register tiles have 6 or 4 rows: the last one may read so many that do not exist. */
const rowsBeyond = 3;
const tileRows = 6;
const widestTile = 16;

function roundUp(n: number, multiple: number): number {
  return Math.ceil(n / multiple) * multiple;
}

/** Scratch of one `matmul`, in bytes: a tile, the packed block of B, and a block of A where it has to be transposed. */
export function matmulScratchBytes(M: number, N: number, K: number): number {
  const depth = Math.min(K, kBlock);
  const packedB = depth * roundUp(Math.min(N, nBlock), widestTile);
  const packedA = depth * (Math.min(M, mBlock) + rowsBeyond);
  return roundUp(4 * (tileRows * widestTile + packedB + packedA), 64);
}

export const matmulKernels = {
  /**
   * C[M][N] = op(A)[M][K] * op(B)[K][N], plus C when `accumulate` is 1. lda, ldb, ldc are the floats between
   * rows as stored; transA = 1 means A is stored [K][M], transB = 1 that B is stored [N][K]. C must not overlap
   * A or B. An element is one sum along K, in order, from C or from zero.
   */
  matmul: defineKernel({
    parameters: [
      'transA',
      'transB',
      'M',
      'N',
      'K',
      'A',
      'lda',
      'B',
      'ldb',
      'C',
      'ldc',
      'accumulate',
      'scratch',
    ],
    group: 'matrix product',
    flops: (a) => 2 * a.M * a.N * a.K,
    bytes: (a) => 4 * (a.M * a.K + a.K * a.N + a.M * a.N),
    reference: ({ values }, a) => {
      const at = (index: number): number => values[index] ?? Number.NaN;
      for (let i = 0; i < a.M; i++) {
        for (let j = 0; j < a.N; j++) {
          let sum = a.accumulate ? at(a.C / 4 + i * a.ldc + j) : 0;
          for (let k = 0; k < a.K; k++) {
            const left = at(a.A / 4 + (a.transA ? k * a.lda + i : i * a.lda + k));
            const right = at(a.B / 4 + (a.transB ? j * a.ldb + k : k * a.ldb + j));
            sum += left * right;
          }
          values[a.C / 4 + i * a.ldc + j] = sum;
        }
      }
    },
  }),
};
