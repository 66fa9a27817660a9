// The one-dimensional transforms of a 3x3 convolution of stride 2 in tiles of 4 x 4 outputs, on 8 channels at a time.
//
// Output j of a row is w0 d[2j] + w1 d[2j + 1] + w2 d[2j + 2]: two filters, (w0, w2) on every other pixel and w1 alone
// on those between. The first is Winograd's F(4, 2), five products for four outputs, at the points +-1/2, +-5/4 and
// infinity (Lavin & Gray 2016 for the method; of the points tried these lose least: 1.7 times the direct sum's error);
// the second has nothing to save. So a row has 9 elements for 4 outputs, and a tile 81 products for 144.
//
// Elements: 0 to 4 at +1/2, -1/2, +5/4, -5/4 and infinity, 5 to 8 the pixels between. Filters: 0 to 4 likewise, 5 is
// w1.
//
// Passes, distances and the pairs p, q are as in winograd-transform.ts.
import { MADD } from './lanes';

/** The interpolation points +-A and +-B, their powers, and the weights of Lagrange's interpolation at them. */
const A: f64 = 0.5;
const B: f64 = 1.25;
const A2: f64 = A * A;
const B2: f64 = B * B;
/** 1 / ((A - -A)(A^2 - B^2)) and the same for B; at -A and -B their opposites. */
const AT_A: f64 = 1 / (2 * A * (A2 - B2));
const AT_B: f64 = 1 / (2 * B * (B2 - A2));

// Read from memory before a loop, as in `winograd-transform.ts`.
const PLUS_A: usize = memory.data<f32>([<f32>A]);
const MINUS_A: usize = memory.data<f32>([<f32>-A]);
const PLUS_B: usize = memory.data<f32>([<f32>B]);
const MINUS_B: usize = memory.data<f32>([<f32>-B]);
const MINUS_A2: usize = memory.data<f32>([<f32>-A2]);
const MINUS_B2: usize = memory.data<f32>([<f32>-B2]);
const BOTH: usize = memory.data<f32>([<f32>(A2 * B2)]);
const MINUS_SUM: usize = memory.data<f32>([<f32>-(A2 + B2)]);
const PLUS_A2: usize = memory.data<f32>([<f32>A2]);
const PLUS_B2: usize = memory.data<f32>([<f32>B2]);
const PLUS_A3: usize = memory.data<f32>([<f32>(A * A2)]);
const PLUS_B3: usize = memory.data<f32>([<f32>(B * B2)]);
const A_0: usize = memory.data<f32>([<f32>AT_A]);
const MINUS_A_0: usize = memory.data<f32>([<f32>-AT_A]);
const A_1: usize = memory.data<f32>([<f32>(AT_A * A)]);
const B_0: usize = memory.data<f32>([<f32>AT_B]);
const MINUS_B_0: usize = memory.data<f32>([<f32>-AT_B]);
const B_1: usize = memory.data<f32>([<f32>(AT_B * B)]);

/**
 * The input transform, for the input and for the gradient of the output: pixels d0 .. d4 of the filter with two taps,
 * fromStride apart, and those of the single tap, `between` bytes behind d0 .. d3 -> 9 elements.
 */
export function tileStridedInput(
  groups: i32, count: i32, from: usize, fromStride: i32, between: i32, fromStep: i32, fromGroup: i32,
  to: usize, toStride: i32, toStep: i32, toGroup: i32,
): void {
  const a = v128.load32_splat(PLUS_A);
  const minusA = v128.load32_splat(MINUS_A);
  const b = v128.load32_splat(PLUS_B);
  const minusB = v128.load32_splat(MINUS_B);
  const minusA2 = v128.load32_splat(MINUS_A2);
  const minusB2 = v128.load32_splat(MINUS_B2);
  const product = v128.load32_splat(BOTH);
  const minusSum = v128.load32_splat(MINUS_SUM);
  if (groups > 0 && count > 0) do {
    let k = count;
    let s0 = from;
    let t0 = to;
    do {
      const s1 = s0 + fromStride, s2 = s1 + fromStride, s3 = s2 + fromStride, s4 = s3 + fromStride;
      const t1 = t0 + toStride, t2 = t1 + toStride, t3 = t2 + toStride, t4 = t3 + toStride;
      const t5 = t4 + toStride, t6 = t5 + toStride, t7 = t6 + toStride, t8 = t7 + toStride;
      const p0 = v128.load(s0), q0 = v128.load(s0, 16);
      const p1 = v128.load(s1), q1 = v128.load(s1, 16);
      const p2 = v128.load(s2), q2 = v128.load(s2, 16);
      const p3 = v128.load(s3), q3 = v128.load(s3, 16);
      const p4 = v128.load(s4), q4 = v128.load(s4, 16);
      // At +-A: (d3 - B^2 d1) +- A (d2 - B^2 d0). At +-B the same with A and B exchanged.
      const pEvenA = MADD(minusB2, p1, p3), qEvenA = MADD(minusB2, q1, q3);
      const pOddA = MADD(minusB2, p0, p2), qOddA = MADD(minusB2, q0, q2);
      const pEvenB = MADD(minusA2, p1, p3), qEvenB = MADD(minusA2, q1, q3);
      const pOddB = MADD(minusA2, p0, p2), qOddB = MADD(minusA2, q0, q2);
      const pPlusA = MADD(a, pOddA, pEvenA), qPlusA = MADD(a, qOddA, qEvenA);
      const pMinusA = MADD(minusA, pOddA, pEvenA), qMinusA = MADD(minusA, qOddA, qEvenA);
      const pPlusB = MADD(b, pOddB, pEvenB), qPlusB = MADD(b, qOddB, qEvenB);
      const pMinusB = MADD(minusB, pOddB, pEvenB), qMinusB = MADD(minusB, qOddB, qEvenB);
      const pInfinite = MADD(product, p0, MADD(minusSum, p2, p4));
      const qInfinite = MADD(product, q0, MADD(minusSum, q2, q4));
      v128.store(t0, qPlusA, 16);
      v128.store(t0, pPlusA);
      v128.store(t1, qMinusA, 16);
      v128.store(t1, pMinusA);
      v128.store(t2, qPlusB, 16);
      v128.store(t2, pPlusB);
      v128.store(t3, qMinusB, 16);
      v128.store(t3, pMinusB);
      v128.store(t4, qInfinite, 16);
      v128.store(t4, pInfinite);
      const r0 = v128.load(s0 + between), u0 = v128.load(s0 + between, 16);
      const r1 = v128.load(s1 + between), u1 = v128.load(s1 + between, 16);
      const r2 = v128.load(s2 + between), u2 = v128.load(s2 + between, 16);
      const r3 = v128.load(s3 + between), u3 = v128.load(s3 + between, 16);
      v128.store(t5, u0, 16);
      v128.store(t5, r0);
      v128.store(t6, u1, 16);
      v128.store(t6, r1);
      v128.store(t7, u2, 16);
      v128.store(t7, r2);
      v128.store(t8, u3, 16);
      v128.store(t8, r3);
      s0 += fromStep;
      t0 += toStep;
    } while (--k);
    from += fromGroup;
    to += toGroup;
  } while (--groups);
}

/** The output transform: 9 elements -> 4 outputs. */
export function tileStridedOutput(
  groups: i32, count: i32,
  from: usize, fromStride: i32, fromStep: i32, fromGroup: i32, to: usize, toStride: i32, toStep: i32, toGroup: i32,
): void {
  const a = v128.load32_splat(PLUS_A);
  const b = v128.load32_splat(PLUS_B);
  const a2 = v128.load32_splat(PLUS_A2);
  const b2 = v128.load32_splat(PLUS_B2);
  const a3 = v128.load32_splat(PLUS_A3);
  const b3 = v128.load32_splat(PLUS_B3);
  if (groups > 0 && count > 0) do {
    let k = count;
    let s0 = from;
    let t0 = to;
    do {
      const s1 = s0 + fromStride, s2 = s1 + fromStride, s3 = s2 + fromStride, s4 = s3 + fromStride;
      const s5 = s4 + fromStride, s6 = s5 + fromStride, s7 = s6 + fromStride, s8 = s7 + fromStride;
      const t1 = t0 + toStride, t2 = t1 + toStride, t3 = t2 + toStride;
      const p0 = v128.load(s0), q0 = v128.load(s0, 16);
      const p1 = v128.load(s1), q1 = v128.load(s1, 16);
      const p2 = v128.load(s2), q2 = v128.load(s2, 16);
      const p3 = v128.load(s3), q3 = v128.load(s3, 16);
      const p4 = v128.load(s4), q4 = v128.load(s4, 16);
      const pSumA = f32x4.add(p0, p1), qSumA = f32x4.add(q0, q1);
      const pDiffA = f32x4.sub(p0, p1), qDiffA = f32x4.sub(q0, q1);
      const pSumB = f32x4.add(p2, p3), qSumB = f32x4.add(q2, q3);
      const pDiffB = f32x4.sub(p2, p3), qDiffB = f32x4.sub(q2, q3);
      const pFirst = f32x4.add(f32x4.add(pSumA, pSumB), v128.load(s5));
      const qFirst = f32x4.add(f32x4.add(qSumA, qSumB), v128.load(s5, 16));
      const pSecond = MADD(b, pDiffB, MADD(a, pDiffA, v128.load(s6)));
      const qSecond = MADD(b, qDiffB, MADD(a, qDiffA, v128.load(s6, 16)));
      const pThird = MADD(b2, pSumB, MADD(a2, pSumA, v128.load(s7)));
      const qThird = MADD(b2, qSumB, MADD(a2, qSumA, v128.load(s7, 16)));
      const pFourth = MADD(b3, pDiffB, MADD(a3, pDiffA, f32x4.add(p4, v128.load(s8))));
      const qFourth = MADD(b3, qDiffB, MADD(a3, qDiffA, f32x4.add(q4, v128.load(s8, 16))));
      v128.store(t0, qFirst, 16);
      v128.store(t0, pFirst);
      v128.store(t1, qSecond, 16);
      v128.store(t1, pSecond);
      v128.store(t2, qThird, 16);
      v128.store(t2, pThird);
      v128.store(t3, qFourth, 16);
      v128.store(t3, pFourth);
      s0 += fromStep;
      t0 += toStep;
    } while (--k);
    from += fromGroup;
    to += toGroup;
  } while (--groups);
}

/** The filter transform: 3 taps -> 6 filters. */
export function tileStridedFilter(
  rows: i32, from: usize, fromStride: i32, fromRow: i32, to: usize, toStride: i32, toRow: i32,
): void {
  const a0 = v128.load32_splat(A_0);
  const minusA0 = v128.load32_splat(MINUS_A_0);
  const a1 = v128.load32_splat(A_1);
  const b0 = v128.load32_splat(B_0);
  const minusB0 = v128.load32_splat(MINUS_B_0);
  const b1 = v128.load32_splat(B_1);
  if (rows > 0) do {
    const s1 = from + fromStride, s2 = s1 + fromStride;
    const t1 = to + toStride, t2 = t1 + toStride, t3 = t2 + toStride, t4 = t3 + toStride, t5 = t4 + toStride;
    const p0 = v128.load(from), q0 = v128.load(from, 16);
    const p1 = v128.load(s1), q1 = v128.load(s1, 16);
    const p2 = v128.load(s2), q2 = v128.load(s2, 16);
    const pPlusA = MADD(a1, p2, f32x4.mul(a0, p0)), qPlusA = MADD(a1, q2, f32x4.mul(a0, q0));
    const pMinusA = MADD(a1, p2, f32x4.mul(minusA0, p0)), qMinusA = MADD(a1, q2, f32x4.mul(minusA0, q0));
    const pPlusB = MADD(b1, p2, f32x4.mul(b0, p0)), qPlusB = MADD(b1, q2, f32x4.mul(b0, q0));
    const pMinusB = MADD(b1, p2, f32x4.mul(minusB0, p0)), qMinusB = MADD(b1, q2, f32x4.mul(minusB0, q0));
    v128.store(to, qPlusA, 16);
    v128.store(to, pPlusA);
    v128.store(t1, qMinusA, 16);
    v128.store(t1, pMinusA);
    v128.store(t2, qPlusB, 16);
    v128.store(t2, pPlusB);
    v128.store(t3, qMinusB, 16);
    v128.store(t3, pMinusB);
    v128.store(t4, q2, 16);
    v128.store(t4, p2);
    v128.store(t5, q1, 16);
    v128.store(t5, p1);
    from += fromRow;
    to += toRow;
  } while (--rows);
}

/**
 * The output transform of the gradient of the input: 9 elements -> 8 pixels, in turn one of the single tap and one of
 * the two taps.
 */
export function tileStridedSpread(
  groups: i32, count: i32,
  from: usize, fromStride: i32, fromStep: i32, fromGroup: i32, to: usize, toStride: i32, toStep: i32, toGroup: i32,
): void {
  const a = v128.load32_splat(PLUS_A);
  const b = v128.load32_splat(PLUS_B);
  const a2 = v128.load32_splat(PLUS_A2);
  const b2 = v128.load32_splat(PLUS_B2);
  const a3 = v128.load32_splat(PLUS_A3);
  const b3 = v128.load32_splat(PLUS_B3);
  if (groups > 0 && count > 0) do {
    let k = count;
    let s0 = from;
    let t0 = to;
    do {
      const s1 = s0 + fromStride, s2 = s1 + fromStride, s3 = s2 + fromStride, s4 = s3 + fromStride;
      const s5 = s4 + fromStride, s6 = s5 + fromStride, s7 = s6 + fromStride, s8 = s7 + fromStride;
      const t1 = t0 + toStride, t2 = t1 + toStride, t3 = t2 + toStride;
      const t4 = t3 + toStride, t5 = t4 + toStride, t6 = t5 + toStride, t7 = t6 + toStride;
      const p0 = v128.load(s0), q0 = v128.load(s0, 16);
      const p1 = v128.load(s1), q1 = v128.load(s1, 16);
      const p2 = v128.load(s2), q2 = v128.load(s2, 16);
      const p3 = v128.load(s3), q3 = v128.load(s3, 16);
      const p4 = v128.load(s4), q4 = v128.load(s4, 16);
      const pSumA = f32x4.add(p0, p1), qSumA = f32x4.add(q0, q1);
      const pDiffA = f32x4.sub(p0, p1), qDiffA = f32x4.sub(q0, q1);
      const pSumB = f32x4.add(p2, p3), qSumB = f32x4.add(q2, q3);
      const pDiffB = f32x4.sub(p2, p3), qDiffB = f32x4.sub(q2, q3);
      const pFirst = f32x4.add(pSumA, pSumB), qFirst = f32x4.add(qSumA, qSumB);
      const pSecond = MADD(b, pDiffB, f32x4.mul(a, pDiffA)), qSecond = MADD(b, qDiffB, f32x4.mul(a, qDiffA));
      const pThird = MADD(b2, pSumB, f32x4.mul(a2, pSumA)), qThird = MADD(b2, qSumB, f32x4.mul(a2, qSumA));
      const pFourth = MADD(b3, pDiffB, MADD(a3, pDiffA, p4)), qFourth = MADD(b3, qDiffB, MADD(a3, qDiffA, q4));
      v128.store(t1, qFirst, 16);
      v128.store(t1, pFirst);
      v128.store(t3, qSecond, 16);
      v128.store(t3, pSecond);
      v128.store(t5, qThird, 16);
      v128.store(t5, pThird);
      v128.store(t7, qFourth, 16);
      v128.store(t7, pFourth);
      const r0 = v128.load(s5), u0 = v128.load(s5, 16);
      const r1 = v128.load(s6), u1 = v128.load(s6, 16);
      const r2 = v128.load(s7), u2 = v128.load(s7, 16);
      const r3 = v128.load(s8), u3 = v128.load(s8, 16);
      v128.store(t0, u0, 16);
      v128.store(t0, r0);
      v128.store(t2, u1, 16);
      v128.store(t2, r1);
      v128.store(t4, u2, 16);
      v128.store(t4, r2);
      v128.store(t6, u3, 16);
      v128.store(t6, r3);
      s0 += fromStep;
      t0 += toStep;
    } while (--k);
    from += fromGroup;
    to += toGroup;
  } while (--groups);
}

/** The adjoint of the output transform, 4 -> 9, for the gradient of the outputs. */
export function tileStridedGradient(
  groups: i32, count: i32,
  from: usize, fromStride: i32, fromStep: i32, fromGroup: i32, to: usize, toStride: i32, toStep: i32, toGroup: i32,
): void {
  const a = v128.load32_splat(PLUS_A);
  const minusA = v128.load32_splat(MINUS_A);
  const b = v128.load32_splat(PLUS_B);
  const minusB = v128.load32_splat(MINUS_B);
  const a2 = v128.load32_splat(PLUS_A2);
  const b2 = v128.load32_splat(PLUS_B2);
  if (groups > 0 && count > 0) do {
    let k = count;
    let s0 = from;
    let t0 = to;
    do {
      const s1 = s0 + fromStride, s2 = s1 + fromStride, s3 = s2 + fromStride;
      const t1 = t0 + toStride, t2 = t1 + toStride, t3 = t2 + toStride, t4 = t3 + toStride;
      const t5 = t4 + toStride, t6 = t5 + toStride, t7 = t6 + toStride, t8 = t7 + toStride;
      const p0 = v128.load(s0), q0 = v128.load(s0, 16);
      const p1 = v128.load(s1), q1 = v128.load(s1, 16);
      const p2 = v128.load(s2), q2 = v128.load(s2, 16);
      const p3 = v128.load(s3), q3 = v128.load(s3, 16);
      const pEvenA = MADD(a2, p2, p0), qEvenA = MADD(a2, q2, q0);
      const pOddA = MADD(a2, p3, p1), qOddA = MADD(a2, q3, q1);
      const pEvenB = MADD(b2, p2, p0), qEvenB = MADD(b2, q2, q0);
      const pOddB = MADD(b2, p3, p1), qOddB = MADD(b2, q3, q1);
      const pPlusA = MADD(a, pOddA, pEvenA), qPlusA = MADD(a, qOddA, qEvenA);
      const pMinusA = MADD(minusA, pOddA, pEvenA), qMinusA = MADD(minusA, qOddA, qEvenA);
      const pPlusB = MADD(b, pOddB, pEvenB), qPlusB = MADD(b, qOddB, qEvenB);
      const pMinusB = MADD(minusB, pOddB, pEvenB), qMinusB = MADD(minusB, qOddB, qEvenB);
      v128.store(t0, qPlusA, 16);
      v128.store(t0, pPlusA);
      v128.store(t1, qMinusA, 16);
      v128.store(t1, pMinusA);
      v128.store(t2, qPlusB, 16);
      v128.store(t2, pPlusB);
      v128.store(t3, qMinusB, 16);
      v128.store(t3, pMinusB);
      v128.store(t4, q3, 16);
      v128.store(t4, p3);
      v128.store(t5, q0, 16);
      v128.store(t5, p0);
      v128.store(t6, q1, 16);
      v128.store(t6, p1);
      v128.store(t7, q2, 16);
      v128.store(t7, p2);
      v128.store(t8, q3, 16);
      v128.store(t8, p3);
      s0 += fromStep;
      t0 += toStep;
    } while (--k);
    from += fromGroup;
    to += toGroup;
  } while (--groups);
}

/** The adjoint of the filter transform, 6 -> 3, for the gradient of the weights. */
export function tileStridedFilterGradient(
  rows: i32, from: usize, fromStride: i32, fromRow: i32, to: usize, toStride: i32, toRow: i32,
): void {
  const a0 = v128.load32_splat(A_0);
  const a1 = v128.load32_splat(A_1);
  const b0 = v128.load32_splat(B_0);
  const b1 = v128.load32_splat(B_1);
  if (rows > 0) do {
    const s1 = from + fromStride, s2 = s1 + fromStride, s3 = s2 + fromStride;
    const s4 = s3 + fromStride, s5 = s4 + fromStride;
    const t1 = to + toStride, t2 = t1 + toStride;
    const p0 = v128.load(from), q0 = v128.load(from, 16);
    const p1 = v128.load(s1), q1 = v128.load(s1, 16);
    const p2 = v128.load(s2), q2 = v128.load(s2, 16);
    const p3 = v128.load(s3), q3 = v128.load(s3, 16);
    const p4 = v128.load(s4), q4 = v128.load(s4, 16);
    const p5 = v128.load(s5), q5 = v128.load(s5, 16);
    const pFirst = MADD(b0, f32x4.sub(p2, p3), f32x4.mul(a0, f32x4.sub(p0, p1)));
    const qFirst = MADD(b0, f32x4.sub(q2, q3), f32x4.mul(a0, f32x4.sub(q0, q1)));
    const pThird = MADD(b1, f32x4.add(p2, p3), MADD(a1, f32x4.add(p0, p1), p4));
    const qThird = MADD(b1, f32x4.add(q2, q3), MADD(a1, f32x4.add(q0, q1), q4));
    v128.store(to, qFirst, 16);
    v128.store(to, pFirst);
    v128.store(t1, q5, 16);
    v128.store(t1, p5);
    v128.store(t2, qThird, 16);
    v128.store(t2, pThird);
    from += fromRow;
    to += toRow;
  } while (--rows);
}
