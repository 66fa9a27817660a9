// Four float32 lanes in the build's arithmetic, and the constants of the build.
//
// ASC_FEATURE_RELAXED_SIMD is true in the `fma` builds; WIDE is defined in the `wide` ones. Both are
// known at compile time, so the branch that is not taken leaves no code.

/** Columns of a register tile: 16 when V8 revectorizes to 256 bits, 8 for 128-bit engines. */
// @ts-ignore: compile-time constant
export const NR: i32 = isDefined(WIDE) ? 16 : 8;

/**
 * Whether register tiles are 6 rows high, else 4: 6 x 16 takes 12 of 16 registers of 256 bits, and an unfused
 * multiply-add needs one more than is left.
 */
// @ts-ignore: compile-time constant
export const SIX_ROWS: bool = NR == 8 || ASC_FEATURE_RELAXED_SIMD;

/** a*b + c for each lane: one rounding in the `fma` builds, two in the `mul-add` builds. */
// @ts-ignore: decorator
@inline
export function MADD(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** C rounded up to a multiple of 4: the distance of two pixels, in floats. */
// @ts-ignore: decorator
@inline
export function channelStride(channels: i32): i32 {
  return (channels + 3) & ~3;
}
