// Transposing 4 x 4 blocks of float32, for packing.

/**
 * Stores the transpose of the four vectors at from, from + fromRow, .. to out, out + outRow, ..; distances in bytes.
 */
// @ts-ignore: decorator
@inline
export function transpose4(from: usize, fromRow: i32, out: usize, outRow: i32): void {
  const a = v128.load(from);
  const b = v128.load(from + fromRow);
  const c = v128.load(from + 2 * fromRow);
  const d = v128.load(from + 3 * fromRow);
  const low = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const lowNext = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const high = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const highNext = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(out, v128.shuffle<f32>(low, lowNext, 0, 1, 4, 5));
  v128.store(out + outRow, v128.shuffle<f32>(low, lowNext, 2, 3, 6, 7));
  v128.store(out + 2 * outRow, v128.shuffle<f32>(high, highNext, 0, 1, 4, 5));
  v128.store(out + 3 * outRow, v128.shuffle<f32>(high, highNext, 2, 3, 6, 7));
}
