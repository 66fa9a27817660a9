// Sums over slots in a fixed tree, and the check for numbers that are none.

// Also in `treeSumScratchBytes`.
/** Floats that go through the whole tree together: 16 levels of them fit a first-level cache. */
const CHUNK: i32 = 512;

/** out = a + b, n floats. out may be a or b. */
function add2(a: usize, b: usize, out: usize, n: i32): void {
  let k = n >> 4;
  if (k > 0) do {
    const x0 = f32x4.add(v128.load(a), v128.load(b));
    const x1 = f32x4.add(v128.load(a, 16), v128.load(b, 16));
    const x2 = f32x4.add(v128.load(a, 32), v128.load(b, 32));
    const x3 = f32x4.add(v128.load(a, 48), v128.load(b, 48));
    v128.store(out, x0);
    v128.store(out, x1, 16);
    v128.store(out, x2, 32);
    v128.store(out, x3, 48);
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

/** out = (a + b) + (c + d), where the four lie `apart` bytes from each other. */
function add4(a: usize, apart: usize, out: usize, n: i32): void {
  let b = a + apart;
  let c = b + apart;
  let d = c + apart;
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
    v128.store(out, x0);
    v128.store(out, x1, 16);
    v128.store(out, x2, 32);
    v128.store(out, x3, 48);
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

/**
 * out[0 .. n) = sum over k < count of slot k's floats [from .. from+n), slot k being at slots + k*slotBytes, in the
 * tree that splits a range at the largest power of two below its width. A stack of partial sums does that: a leaf
 * comes in from the left, equal widths merge, and at the end what is left merges from the right. Four leaves enter
 * at once where they make a whole subtree. scratch: 16 chunks; count is below 2^16. No slots sum to 0.
 */
export function treeSum(
  slots: usize, slotBytes: usize, count: i32, from: i32, n: i32, out: usize, scratch: usize,
): void {
  const level = <usize>min(n, CHUNK) << 2;
  for (let at = 0; at < n; at += CHUNK) {
    const size = min(CHUNK, n - at);
    const to = out + (<usize>at << 2);
    let leaf = slots + (<usize>(from + at) << 2);
    if (count < 2) {
      if (count == 1) memory.copy(to, leaf, <usize>size << 2);
      else memory.fill(to, 0, <usize>size << 2);
      continue;
    }
    let top = scratch;
    let k = 0;
    for (; k + 4 <= count; k += 4) {
      add4(leaf, slotBytes, top, size);
      leaf += 4 * slotBytes;
      for (let pushed = (k >> 2) + 1; (pushed & 1) == 0; pushed >>= 1) {
        top -= level;
        add2(top, top + level, top, size);
      }
      top += level;
    }
    if (count & 2) {
      add2(leaf, leaf + slotBytes, top, size);
      leaf += 2 * slotBytes;
      top += level;
    }
    let right = top - level;
    if (count & 1) {
      add2(right, leaf, right, size);
    }
    while (right > scratch) {
      add2(right - level, right, right - level, size);
      right -= level;
    }
    memory.copy(to, scratch, <usize>size << 2);
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
