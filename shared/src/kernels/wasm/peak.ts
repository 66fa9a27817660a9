// The fastest multiply-add loop that this build's instructions allow: what the other kernels are compared with.
import { MADD, NR } from './lanes';

/**
 * A register tile of 6 x NR accumulators on operands that stay in registers: 12 * NR floating point operations an
 * iteration, no memory access. The operands change places in every iteration, or an unfused product would be hoisted
 * out of the loop. Returns the sum of all lanes, so that no compiler may drop the loop.
 *
 * operands: 17 floats; out: 6 * NR floats that are overwritten (V8's revectorization starts from adjacent stores).
 */
export function tilePeak(iterations: i32, operands: usize, out: usize): f32 {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  let e0 = zero, e1 = zero, e2 = zero, e3 = zero;
  let f0 = zero, f1 = zero, f2 = zero, f3 = zero;
  let w0 = v128.load(operands);
  let w1 = v128.load(operands, 16);
  let w2 = v128.load(operands, 32);
  let w3 = v128.load(operands, 48);
  const s = v128.load32_splat(operands, 64);
  if (iterations > 0) do {
    a0 = MADD(s, w0, a0);
    a1 = MADD(s, w1, a1);
    if (NR == 16) {
      a2 = MADD(s, w2, a2);
      a3 = MADD(s, w3, a3);
    }
    b0 = MADD(s, w0, b0);
    b1 = MADD(s, w1, b1);
    if (NR == 16) {
      b2 = MADD(s, w2, b2);
      b3 = MADD(s, w3, b3);
    }
    c0 = MADD(s, w0, c0);
    c1 = MADD(s, w1, c1);
    if (NR == 16) {
      c2 = MADD(s, w2, c2);
      c3 = MADD(s, w3, c3);
    }
    d0 = MADD(s, w0, d0);
    d1 = MADD(s, w1, d1);
    if (NR == 16) {
      d2 = MADD(s, w2, d2);
      d3 = MADD(s, w3, d3);
    }
    e0 = MADD(s, w0, e0);
    e1 = MADD(s, w1, e1);
    if (NR == 16) {
      e2 = MADD(s, w2, e2);
      e3 = MADD(s, w3, e3);
    }
    f0 = MADD(s, w0, f0);
    f1 = MADD(s, w1, f1);
    if (NR == 16) {
      f2 = MADD(s, w2, f2);
      f3 = MADD(s, w3, f3);
    }
    const before0 = w0, before1 = w1;
    w0 = w2;
    w1 = w3;
    w2 = before0;
    w3 = before1;
  } while (--iterations);
  let to = out;
  v128.store(to, a1, 16);
  v128.store(to, a0);
  if (NR == 16) {
    v128.store(to, a3, 48);
    v128.store(to, a2, 32);
  }
  to += 4 * NR;
  v128.store(to, b1, 16);
  v128.store(to, b0);
  if (NR == 16) {
    v128.store(to, b3, 48);
    v128.store(to, b2, 32);
  }
  to += 4 * NR;
  v128.store(to, c1, 16);
  v128.store(to, c0);
  if (NR == 16) {
    v128.store(to, c3, 48);
    v128.store(to, c2, 32);
  }
  to += 4 * NR;
  v128.store(to, d1, 16);
  v128.store(to, d0);
  if (NR == 16) {
    v128.store(to, d3, 48);
    v128.store(to, d2, 32);
  }
  to += 4 * NR;
  v128.store(to, e1, 16);
  v128.store(to, e0);
  if (NR == 16) {
    v128.store(to, e3, 48);
    v128.store(to, e2, 32);
  }
  to += 4 * NR;
  v128.store(to, f1, 16);
  v128.store(to, f0);
  if (NR == 16) {
    v128.store(to, f3, 48);
    v128.store(to, f2, 32);
  }
  to += 4 * NR;
  let sum: f32 = 0;
  for (let i = 0; i < 6 * NR; i++) sum += load<f32>(out + 4 * i);
  return sum;
}
