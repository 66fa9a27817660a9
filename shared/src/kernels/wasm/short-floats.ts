// float32 values rounded to what bfloat16 or IEEE half can hold, to nearest, ties to even; and their 16 bits.
// The same numbers as `protocol/dtype.ts`, NaN included.

// Also in `dtypeCodes`.
export const F32: i32 = 0;
export const BF16: i32 = 1;

/** The bfloat16 nearest to each lane, as float32; NaN stays a quiet NaN. */
// @ts-ignore: decorator
@inline
export function roundBfloat(x: v128): v128 {
  const top = i32x4.splat(0xffff0000);
  // Half a unit, less one, plus the last bit kept: a tie goes up only when that makes it even.
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1));
  const near = v128.and(i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd), top);
  const nan = v128.or(v128.and(x, top), i32x4.splat(0x400000));
  return v128.bitselect(near, nan, f32x4.eq(x, x));
}

/** The half nearest to each lane, as float32; from 65520 on that is an infinity. */
// @ts-ignore: decorator
@inline
export function roundHalf(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const near = v128.and(i32x4.add(i32x4.add(magnitude, i32x4.splat(0xfff)), odd), i32x4.splat(0xffffe000));
  const large = i32x4.ge_s(near, i32x4.splat(0x47800000));
  const normal = v128.bitselect(i32x4.splat(0x7f800000), near, large);
  // Subnormal halves count units of 2^-24, which is the last place of a float32 from 0.5 to 1.
  const half = f32x4.splat(0.5);
  const small = f32x4.sub(f32x4.add(magnitude, half), half);
  const finite = v128.bitselect(small, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  const result = v128.bitselect(finite, i32x4.splat(0x7fc00000), f32x4.eq(x, x));
  return v128.or(result, v128.xor(x, magnitude));
}

// @ts-ignore: decorator
@inline
function round(x: v128, bfloat: bool): v128 {
  return bfloat ? roundBfloat(x) : roundHalf(x);
}

/** out = values rounded, n floats; out may be values. */
export function roundFloats(values: usize, n: i32, dtype: i32, out: usize): void {
  if (dtype == F32) {
    if (out != values) memory.copy(out, values, <usize>n << 2);
    return;
  }
  const bfloat = dtype == BF16;
  let k = n >> 2;
  if (k > 0) do {
    v128.store(out, round(v128.load(values), bfloat));
    values += 16;
    out += 16;
  } while (--k);
  for (k = n & 3; k > 0; k--) {
    store<f32>(out, f32x4.extract_lane(round(v128.load32_zero(values), bfloat), 0));
    values += 4;
    out += 4;
  }
}

/** The 16 bits of each lane of an exact bfloat16. */
// @ts-ignore: decorator
@inline
function bfloatBits(x: v128): v128 {
  return i32x4.shr_u(x, 16);
}

/** The 16 bits of each lane of an exact half. */
// @ts-ignore: decorator
@inline
function halfBits(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const normal = i32x4.shr_u(i32x4.sub(magnitude, i32x4.splat(0x38000000)), 13);
  const small = i32x4.trunc_sat_f32x4_s(f32x4.mul(magnitude, f32x4.splat(16777216)));
  const finite = v128.bitselect(small, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  const infinite = v128.or(i32x4.splat(0x7c00), v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(0x200)));
  const result = v128.bitselect(infinite, finite, i32x4.ge_s(magnitude, i32x4.splat(0x7f800000)));
  return v128.or(result, i32x4.shr_u(v128.xor(x, magnitude), 16));
}

// @ts-ignore: decorator
@inline
function bits(x: v128, bfloat: bool): v128 {
  return bfloat ? bfloatBits(roundBfloat(x)) : halfBits(roundHalf(x));
}

/** out = the 16 bits of each of n rounded floats, little-endian u16; dtype is not float32. */
export function narrowFloats(values: usize, n: i32, dtype: i32, out: usize): void {
  const bfloat = dtype == BF16;
  let k = n >> 3;
  if (k > 0) do {
    const low = bits(v128.load(values), bfloat);
    v128.store(out, i16x8.narrow_i32x4_u(low, bits(v128.load(values, 16), bfloat)));
    values += 32;
    out += 16;
  } while (--k);
  for (k = n & 7; k > 0; k--) {
    store<u16>(out, <u16>i32x4.extract_lane(bits(v128.load32_zero(values), bfloat), 0));
    values += 4;
    out += 2;
  }
}

/** The float32 that the low 16 bits of each lane stand for; exact. */
// @ts-ignore: decorator
@inline
function widened(low: v128, bfloat: bool): v128 {
  if (bfloat) return i32x4.shl(low, 16);
  const magnitude = i32x4.shl(v128.and(low, i32x4.splat(0x7fff)), 13);
  // As a float32 the exponent is too small by 112, also of a subnormal half, which is a subnormal float32 then.
  const finite = f32x4.mul(magnitude, f32x4.splat(reinterpret<f32>((127 + 112) << 23)));
  const endless = v128.or(magnitude, i32x4.splat(0x7f800000));
  const result = v128.bitselect(endless, finite, i32x4.ge_s(magnitude, i32x4.splat(0x7c00 << 13)));
  return v128.or(result, i32x4.shl(v128.and(low, i32x4.splat(0x8000)), 16));
}

/** out = the floats that n times 16 bits stand for; dtype is not float32. */
export function widenFloats(bits: usize, n: i32, dtype: i32, out: usize): void {
  const bfloat = dtype == BF16;
  let k = n >> 3;
  if (k > 0) do {
    const both = v128.load(bits);
    v128.store(out, widened(i32x4.extend_high_i16x8_u(both), bfloat), 16);
    v128.store(out, widened(i32x4.extend_low_i16x8_u(both), bfloat));
    bits += 16;
    out += 32;
  } while (--k);
  for (k = n & 7; k > 0; k--) {
    store<i32>(out, i32x4.extract_lane(widened(i32x4.splat(<i32>load<u16>(bits)), bfloat), 0));
    bits += 2;
    out += 4;
  }
}
