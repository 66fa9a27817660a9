// Four channels at a time where a parameter or sum is logical: [C], without padding.

/** Loads up to four float32; lanes from `lanes` on are 0. */
export function loadChannels(p: usize, lanes: i32): v128 {
  if (lanes >= 4) return v128.load(p);
  let v = v128.load_zero<u32>(p);
  if (lanes > 1) v = f32x4.replace_lane(v, 1, load<f32>(p, 4));
  if (lanes > 2) v = f32x4.replace_lane(v, 2, load<f32>(p, 8));
  return v;
}

/** Stores up to four float32. */
export function storeChannels(p: usize, v: v128, lanes: i32): void {
  if (lanes >= 4) {
    v128.store(p, v);
    return;
  }
  store<f32>(p, f32x4.extract_lane(v, 0));
  if (lanes > 1) store<f32>(p, f32x4.extract_lane(v, 1), 4);
  if (lanes > 2) store<f32>(p, f32x4.extract_lane(v, 2), 8);
}

/** All ones in lanes below `lanes`. */
// @ts-ignore: decorator
@inline
export function laneMask(lanes: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(lanes));
}

/**
 * Adds the float32 partial sums (s, q) of up to four channels to their float64 totals, `totals` =
 * f64 [lanes][2].
 */
export function addTotals(totals: usize, lanes: i32, s: v128, q: v128): void {
  const low = v128.shuffle<f32>(s, q, 0, 4, 1, 5);
  const high = v128.shuffle<f32>(s, q, 2, 6, 3, 7);
  v128.store(totals, f64x2.add(v128.load(totals), f64x2.promote_low_f32x4(low)));
  if (lanes < 2) return;
  const second = f64x2.promote_low_f32x4(v128.shuffle<f64>(low, low, 1, 1));
  v128.store(totals, f64x2.add(v128.load(totals, 16), second), 16);
  if (lanes < 3) return;
  v128.store(totals, f64x2.add(v128.load(totals, 32), f64x2.promote_low_f32x4(high)), 32);
  if (lanes < 4) return;
  const fourth = f64x2.promote_low_f32x4(v128.shuffle<f64>(high, high, 1, 1));
  v128.store(totals, f64x2.add(v128.load(totals, 48), fourth), 48);
}
