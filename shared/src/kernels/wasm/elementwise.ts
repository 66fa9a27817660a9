// Elementwise kernels over whole buffers.

/** out[i] = a[i] + b[i] for `floats` elements, a multiple of 4; out may be a or b. */
export function add(a: usize, b: usize, out: usize, floats: i32): void {
  let n = floats >> 2;
  if (n > 0) do {
    v128.store(out, f32x4.add(v128.load(a), v128.load(b)));
    a += 16;
    b += 16;
    out += 16;
  } while (--n);
}
