// exp and log of float64 from multiplications and additions alone, so that they are the same on every machine.

const LN2_HIGH: f64 = 0.6931471803691238; // ln 2 with its last 21 bits cleared: k*LN2_HIGH is exact for |k| < 2^21
const LN2_LOW: f64 = 1.9082149292705877e-10; // ln 2 - LN2_HIGH
const ONE_OVER_LN2: f64 = 1.4426950408889634;

/** 2^k for -1022 <= k <= 1023. */
// @ts-ignore: decorator
@inline
function powerOfTwo(k: i64): f64 {
  return reinterpret<f64>((k + 1023) << 52);
}

/**
 * e^x; exp(NaN) = NaN. Error below 1 unit in the last place: at most 0.86 in 40,000 samples against 40 digits.
 * x = k*ln 2 + r with |r| <= 0.35; e^r by its Taylor series to r^13, whose next term is below 2^-57.
 */
export function exp(x: f64): f64 {
  if (x != x) return x;
  if (x > 710) return Infinity;
  if (x < -746) return 0;
  const k = nearest<f64>(x * ONE_OVER_LN2);
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  let p = 1.0 / 6227020800;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  // What rounding r to one float64 lost comes back with the quadratic term.
  const e = 1 + (high + (r * r * p - low));
  // Two steps: neither 2^1024 nor 2^-1074 is a normal number.
  const half = <i64>k >> 1;
  return e * powerOfTwo(half) * powerOfTwo(<i64>k - half);
}

/**
 * Natural logarithm; log(0) = -Infinity, log(x < 0) = NaN. Error below 1 unit in the last place (0.76 as above).
 * x = 2^k * (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); with s = f/(2 + f), log(1 + f) = 2 atanh(s)
 * = f - (f^2/2 - s*(f^2/2 + R)), R = 2*(s^2/3 + s^4/5 + ...) to s^20.
 */
export function log(x: f64): f64 {
  if (!(x > 0) || x == Infinity) return x == 0 ? -Infinity : x == Infinity ? x : NaN;
  let k: i64 = 0;
  if (x < 2.2250738585072014e-308) {
    x *= 18014398509481984;
    k = -54;
  }
  let bits = reinterpret<i64>(x);
  k += (bits >> 52) - 1023;
  bits = (bits & 0x000fffffffffffff) | 0x3ff0000000000000;
  let m = reinterpret<f64>(bits);
  if (m >= 1.4142135623730951) {
    m *= 0.5;
    k++;
  }
  const f = m - 1;
  const s = f / (2 + f);
  const z = s * s;
  let R = 2.0 / 21;
  R = R * z + 2.0 / 19;
  R = R * z + 2.0 / 17;
  R = R * z + 2.0 / 15;
  R = R * z + 2.0 / 13;
  R = R * z + 2.0 / 11;
  R = R * z + 2.0 / 9;
  R = R * z + 2.0 / 7;
  R = R * z + 2.0 / 5;
  R = R * z + 2.0 / 3;
  R = R * z;
  const half = 0.5 * f * f;
  const n = <f64>k;
  return n * LN2_HIGH - (half - (s * (half + R) + n * LN2_LOW) - f);
}
