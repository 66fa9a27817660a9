// Sums over slots in the order of a schedule, and the check for numbers that are none.

import { BF16, F32, roundBfloat, roundFloats, roundHalf } from './short-floats';

// All three also in `treeSumScratchBytes`.
/** Floats that go through the whole schedule together: 16 levels of them fit a first-level cache. */
const CHUNK: i32 = 512;
/** Bytes of the stack of addresses in front of the chunks. */
const STACK: usize = 64;

/** out = a + b, n floats. out may be a or b. */
function add2(a: usize, b: usize, out: usize, n: i32): void {
  let k = n >> 4;
  if (k > 0) do {
    const x0 = f32x4.add(v128.load(a), v128.load(b));
    const x1 = f32x4.add(v128.load(a, 16), v128.load(b, 16));
    const x2 = f32x4.add(v128.load(a, 32), v128.load(b, 32));
    const x3 = f32x4.add(v128.load(a, 48), v128.load(b, 48));
    v128.store(out, x1, 16);
    v128.store(out, x0);
    v128.store(out, x3, 48);
    v128.store(out, x2, 32);
    a += 64;
    b += 64;
    out += 64;
  } while (--k);
  for (k = n & 15; k > 0; k--) {
    store<f32>(out, load<f32>(a) + load<f32>(b));
    a += 4;
    b += 4;
    out += 4;
  }
}

/** out = (a + b) + (c + d). */
function add4(a: usize, b: usize, c: usize, d: usize, out: usize, n: i32): void {
  let k = n >> 4;
  if (k > 0) do {
    const l0 = f32x4.add(v128.load(a), v128.load(b));
    const l1 = f32x4.add(v128.load(a, 16), v128.load(b, 16));
    const l2 = f32x4.add(v128.load(a, 32), v128.load(b, 32));
    const l3 = f32x4.add(v128.load(a, 48), v128.load(b, 48));
    const x0 = f32x4.add(l0, f32x4.add(v128.load(c), v128.load(d)));
    const x1 = f32x4.add(l1, f32x4.add(v128.load(c, 16), v128.load(d, 16)));
    const x2 = f32x4.add(l2, f32x4.add(v128.load(c, 32), v128.load(d, 32)));
    const x3 = f32x4.add(l3, f32x4.add(v128.load(c, 48), v128.load(d, 48)));
    v128.store(out, x1, 16);
    v128.store(out, x0);
    v128.store(out, x3, 48);
    v128.store(out, x2, 32);
    a += 64;
    b += 64;
    c += 64;
    d += 64;
    out += 64;
  } while (--k);
  for (k = n & 15; k > 0; k--) {
    store<f32>(out, (load<f32>(a) + load<f32>(b)) + (load<f32>(c) + load<f32>(d)));
    a += 4;
    b += 4;
    c += 4;
    d += 4;
    out += 4;
  }
}

// @ts-ignore: decorator
@inline
function roundedSum(a: v128, b: v128, bfloat: bool): v128 {
  if (bfloat) return roundBfloat(f32x4.add(roundBfloat(a), roundBfloat(b)));
  return roundHalf(f32x4.add(roundHalf(a), roundHalf(b)));
}

/** out = a + b with a, b and the sum rounded to a short type; a sum that is rounded already stays the same. */
// @ts-ignore: decorator
@inline
function addRounded(a: usize, b: usize, out: usize, n: i32, bfloat: bool): void {
  let k = n >> 3;
  if (k > 0) do {
    const x0 = roundedSum(v128.load(a), v128.load(b), bfloat);
    const x1 = roundedSum(v128.load(a, 16), v128.load(b, 16), bfloat);
    v128.store(out, x1, 16);
    v128.store(out, x0);
    a += 32;
    b += 32;
    out += 32;
  } while (--k);
  for (k = n & 7; k > 0; k--) {
    const sum = roundedSum(v128.load32_zero(a), v128.load32_zero(b), bfloat);
    store<f32>(out, f32x4.extract_lane(sum, 0));
    a += 4;
    b += 4;
    out += 4;
  }
}

function addBfloats(a: usize, b: usize, out: usize, n: i32): void {
  addRounded(a, b, out, n, true);
}

function addHalves(a: usize, b: usize, out: usize, n: i32): void {
  addRounded(a, b, out, n, false);
}

/** Whether four slots follow and make a subtree: k k -1 k k -1 -1. */
function fourLeaves(at: usize, end: usize): bool {
  if (at + 28 > end || load<i32>(at, 4) < 0 || load<i32>(at, 8) >= 0) return false;
  return load<i32>(at, 12) >= 0 && load<i32>(at, 16) >= 0 && load<i32>(at, 20) < 0 && load<i32>(at, 24) < 0;
}

/**
 * out[0 .. n) = floats [from .. from+n) of slots, slot k being at slots + k*slotBytes, summed in the order of a
 * postfix schedule: k >= 0 pushes slot k, -1 adds the two topmost, the lower one on the left. With a short dtype every
 * node of the tree is rounded to it, slots included. The stack holds addresses, so a slot is added from where it is. No
 * schedule sums to 0. out may be a slot's own range; the slots else stay as they are. At most 16 on the stack.
 */
export function treeSum(
  slots: usize, slotBytes: usize, schedule: usize, scheduleLength: i32, from: i32, n: i32, dtype: i32, out: usize,
  scratch: usize,
): void {
  const level = <usize>min(n, CHUNK) << 2;
  const end = schedule + (<usize>scheduleLength << 2);
  const sums = scratch + STACK;
  for (let done = 0; done < n; done += CHUNK) {
    const size = min(CHUNK, n - done);
    const to = out + (<usize>done << 2);
    const leaf = slots + (<usize>(from + done) << 2);
    if (scheduleLength < 2) {
      if (scheduleLength == 1) roundFloats(leaf + <usize>load<i32>(schedule) * slotBytes, size, dtype, to);
      else memory.fill(to, 0, <usize>size << 2);
      continue;
    }
    let top = scratch;
    let sum = sums;
    for (let at = schedule; at < end; at += 4) {
      const slot = load<i32>(at);
      if (slot >= 0) {
        let pushed = leaf + <usize>slot * slotBytes;
        if (dtype == F32 && fourLeaves(at, end)) {
          const b = leaf + <usize>load<i32>(at, 4) * slotBytes;
          const c = leaf + <usize>load<i32>(at, 12) * slotBytes;
          const d = leaf + <usize>load<i32>(at, 16) * slotBytes;
          at += 24;
          const target = at + 4 == end ? to : sum;
          add4(pushed, b, c, d, target, size);
          pushed = target;
        }
        store<usize>(top, pushed);
        top += sizeof<usize>();
        sum += level;
      } else {
        top -= sizeof<usize>();
        sum -= level;
        const left = load<usize>(top - sizeof<usize>());
        // The sum lies on its own level of the stack, which no other one uses.
        const target = at + 4 == end ? to : sum - level;
        if (dtype == F32) add2(left, load<usize>(top), target, size);
        else if (dtype == BF16) addBfloats(left, load<usize>(top), target, size);
        else addHalves(left, load<usize>(top), target, size);
        store<usize>(top - sizeof<usize>(), target);
      }
    }
  }
}

/** -1 in every lane whose exponent bits are all ones: NaN or infinite. */
// @ts-ignore: decorator
@inline
function nonFinite(x: v128, exponent: v128): v128 {
  return i32x4.eq(v128.and(x, exponent), exponent);
}

/** How many of n floats are NaN or infinite. */
export function countNonFinite(p: usize, n: i32): i32 {
  const exponent = i32x4.splat(0x7f800000);
  let a = i32x4.splat(0);
  let b = a;
  let k = n >> 4;
  if (k > 0) do {
    a = i32x4.sub(a, nonFinite(v128.load(p), exponent));
    b = i32x4.sub(b, nonFinite(v128.load(p, 16), exponent));
    a = i32x4.sub(a, nonFinite(v128.load(p, 32), exponent));
    b = i32x4.sub(b, nonFinite(v128.load(p, 48), exponent));
    p += 64;
  } while (--k);
  a = i32x4.add(a, b);
  let total = i32x4.extract_lane(a, 0) + i32x4.extract_lane(a, 1) + i32x4.extract_lane(a, 2) + i32x4.extract_lane(a, 3);
  for (k = n & 15; k > 0; k--) {
    if ((load<u32>(p) & 0x7f800000) == 0x7f800000) total++;
    p += 4;
  }
  return total;
}
