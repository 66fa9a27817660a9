// The five one-dimensional transforms of Winograd's F(4x4, 3x3), on 8 channels at a time.
//
// A 3-tap filter g over 6 inputs d gives 4 outputs: y = A^T [(G g) * (B^T d)]: polynomials evaluated at 0, +-5/8, +-3/2
// and infinity, multiplied there, interpolated (Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural
// Networks"). These points, oneDNN's, lose a quarter of the accuracy that 0, +-1, +-2 lose, at the same cost. All
// entries of A and B are exact in float32; those of G are rounded.
//
// A pass transforms the columns of `groups` blocks; a two-dimensional transform is one pass down the columns into
// scratch and one along the rows out of it. Within a group, `count` vectors are read at from, from + fromStep, .. and
// written at to, to + toStep, ..; the elements of one vector are fromStride and toStride apart; the next group begins
// fromGroup and toGroup further on. The filters' passes take one vector from each of `rows`, fromRow and toRow apart. All
// distances in bytes.
//
// p0, p1, .. are the elements' first four channels, q0, q1, .. the next four: V8's revectorization makes one 256-bit
// operation of each pair p, q. It needs the adjacent stores at the end, the higher one first, and `do ... while (--n)`; the
// entry exports the passes so that they are not inlined. On the scratch's side distances are literals: less has to
// be kept in registers.
import { MADD } from './lanes';

/** The interpolation points +-A and +-B, their powers, and what follows from them. */
const A: f64 = 0.625;
const B: f64 = 1.5;
const A2: f64 = A * A;
const B2: f64 = B * B;
/** 1 / ((x - other points) ..), the weights of Lagrange's interpolation, at 0, at +-A and at +-B. */
const AT_ZERO: f64 = 1 / (A2 * B2);
const AT_A: f64 = 1 / (2 * A2 * (A2 - B2));
const AT_B: f64 = 1 / (2 * B2 * (B2 - A2));

// Constants are read from memory before a loop: V8 makes a literal anew wherever it is used, with three instructions, and
// these loops are short (docs/log.md).
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
const ZERO_0: usize = memory.data<f32>([<f32>AT_ZERO]);
const A_0: usize = memory.data<f32>([<f32>AT_A]);
const A_1: usize = memory.data<f32>([<f32>(AT_A * A)]);
const MINUS_A_1: usize = memory.data<f32>([<f32>(-AT_A * A)]);
const A_2: usize = memory.data<f32>([<f32>(AT_A * A2)]);
const B_0: usize = memory.data<f32>([<f32>AT_B]);
const B_1: usize = memory.data<f32>([<f32>(AT_B * B)]);
const MINUS_B_1: usize = memory.data<f32>([<f32>(-AT_B * B)]);
const B_2: usize = memory.data<f32>([<f32>(AT_B * B2)]);

/** The input transform, 6 -> 6: B^T. */
// @ts-ignore: decorator
@inline
function inputPass(
  groups: i32, count: i32,
  from: usize, fromStride: i32, fromStep: i32, fromGroup: i32, to: usize, toStride: i32, toStep: i32, toGroup: i32,
): void {
  const a = v128.load32_splat(PLUS_A);
  const minusA = v128.load32_splat(MINUS_A);
  const b = v128.load32_splat(PLUS_B);
  const minusB = v128.load32_splat(MINUS_B);
  const minusA2 = v128.load32_splat(MINUS_A2);
  const minusB2 = v128.load32_splat(MINUS_B2);
  const product = v128.load32_splat(BOTH);
  const minusSum = v128.load32_splat(MINUS_SUM);
  const from1 = fromStride, from2 = 2 * fromStride, from3 = 3 * fromStride, from4 = 4 * fromStride, from5 = 5 * fromStride;
  const to1 = toStride, to2 = 2 * toStride, to3 = 3 * toStride, to4 = 4 * toStride, to5 = 5 * toStride;
  if (groups > 0 && count > 0) do {
    let k = count;
    let s0 = from;
    let t0 = to;
    do {
      const s1 = s0 + from1, s2 = s0 + from2, s3 = s0 + from3, s4 = s0 + from4, s5 = s0 + from5;
      const t1 = t0 + to1, t2 = t0 + to2, t3 = t0 + to3, t4 = t0 + to4, t5 = t0 + to5;
      const p0 = v128.load(s0), q0 = v128.load(s0, 16);
      const p1 = v128.load(s1), q1 = v128.load(s1, 16);
      const p2 = v128.load(s2), q2 = v128.load(s2, 16);
      const p3 = v128.load(s3), q3 = v128.load(s3, 16);
      const p4 = v128.load(s4), q4 = v128.load(s4, 16);
      const p5 = v128.load(s5), q5 = v128.load(s5, 16);
      // At +-A: (d4 - B^2 d2) +- A (d3 - B^2 d1). At +-B the same with A and B exchanged.
      const pEvenA = MADD(minusB2, p2, p4), qEvenA = MADD(minusB2, q2, q4);
      const pOddA = MADD(minusB2, p1, p3), qOddA = MADD(minusB2, q1, q3);
      const pEvenB = MADD(minusA2, p2, p4), qEvenB = MADD(minusA2, q2, q4);
      const pOddB = MADD(minusA2, p1, p3), qOddB = MADD(minusA2, q1, q3);
      const pZero = MADD(product, p0, MADD(minusSum, p2, p4));
      const qZero = MADD(product, q0, MADD(minusSum, q2, q4));
      const pInfinite = MADD(product, p1, MADD(minusSum, p3, p5));
      const qInfinite = MADD(product, q1, MADD(minusSum, q3, q5));
      const pPlusA = MADD(a, pOddA, pEvenA), qPlusA = MADD(a, qOddA, qEvenA);
      const pMinusA = MADD(minusA, pOddA, pEvenA), qMinusA = MADD(minusA, qOddA, qEvenA);
      const pPlusB = MADD(b, pOddB, pEvenB), qPlusB = MADD(b, qOddB, qEvenB);
      const pMinusB = MADD(minusB, pOddB, pEvenB), qMinusB = MADD(minusB, qOddB, qEvenB);
      v128.store(t0, qZero, 16);
      v128.store(t0, pZero);
      v128.store(t1, qPlusA, 16);
      v128.store(t1, pPlusA);
      v128.store(t2, qMinusA, 16);
      v128.store(t2, pMinusA);
      v128.store(t3, qPlusB, 16);
      v128.store(t3, pPlusB);
      v128.store(t4, qMinusB, 16);
      v128.store(t4, pMinusB);
      v128.store(t5, qInfinite, 16);
      v128.store(t5, pInfinite);
      s0 += fromStep;
      t0 += toStep;
    } while (--k);
    from += fromGroup;
    to += toGroup;
  } while (--groups);
}

/** B^T down the columns of 6 x 6 pixels: from x into scratch [groups][6][6][8]. */
export function tileWinogradInputColumns(groups: i32, x: usize, xRow: i32, xPixel: i32, to: usize): void {
  inputPass(groups, 6, x, xRow, xPixel, 32, to, 192, 32, 1152);
}

/** B^T along the rows: out of scratch into elements `plane` bytes apart. */
export function tileWinogradInputRows(groups: i32, from: usize, v: usize, plane: i32): void {
  inputPass(groups, 6, from, 32, 192, 1152, v, plane, 6 * plane, 32);
}

/** The output transform, 6 -> 4: A^T. */
// @ts-ignore: decorator
@inline
function outputPass(
  groups: i32, count: i32,
  from: usize, fromStride: i32, fromStep: i32, fromGroup: i32, to: usize, toStride: i32, toStep: i32, toGroup: i32,
): void {
  const a = v128.load32_splat(PLUS_A);
  const b = v128.load32_splat(PLUS_B);
  const a2 = v128.load32_splat(PLUS_A2);
  const b2 = v128.load32_splat(PLUS_B2);
  const a3 = v128.load32_splat(PLUS_A3);
  const b3 = v128.load32_splat(PLUS_B3);
  const from1 = fromStride, from2 = 2 * fromStride, from3 = 3 * fromStride, from4 = 4 * fromStride, from5 = 5 * fromStride;
  const to1 = toStride, to2 = 2 * toStride, to3 = 3 * toStride;
  if (groups > 0 && count > 0) do {
    let k = count;
    let s0 = from;
    let t0 = to;
    do {
      const s1 = s0 + from1, s2 = s0 + from2, s3 = s0 + from3, s4 = s0 + from4, s5 = s0 + from5;
      const t1 = t0 + to1, t2 = t0 + to2, t3 = t0 + to3;
      const p0 = v128.load(s0), q0 = v128.load(s0, 16);
      const p1 = v128.load(s1), q1 = v128.load(s1, 16);
      const p2 = v128.load(s2), q2 = v128.load(s2, 16);
      const p3 = v128.load(s3), q3 = v128.load(s3, 16);
      const p4 = v128.load(s4), q4 = v128.load(s4, 16);
      const p5 = v128.load(s5), q5 = v128.load(s5, 16);
      // Output j is the sum of value * point^j; sums and differences of the pairs serve its even and odd powers.
      const pSumA = f32x4.add(p1, p2), qSumA = f32x4.add(q1, q2);
      const pDiffA = f32x4.sub(p1, p2), qDiffA = f32x4.sub(q1, q2);
      const pSumB = f32x4.add(p3, p4), qSumB = f32x4.add(q3, q4);
      const pDiffB = f32x4.sub(p3, p4), qDiffB = f32x4.sub(q3, q4);
      const pFirst = f32x4.add(f32x4.add(p0, pSumA), pSumB), qFirst = f32x4.add(f32x4.add(q0, qSumA), qSumB);
      const pSecond = MADD(b, pDiffB, f32x4.mul(a, pDiffA)), qSecond = MADD(b, qDiffB, f32x4.mul(a, qDiffA));
      const pThird = MADD(b2, pSumB, f32x4.mul(a2, pSumA)), qThird = MADD(b2, qSumB, f32x4.mul(a2, qSumA));
      const pFourth = MADD(b3, pDiffB, MADD(a3, pDiffA, p5)), qFourth = MADD(b3, qDiffB, MADD(a3, qDiffA, q5));
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

/** A^T down the columns of 6 x 6 elements `plane` bytes apart: into scratch [groups][4][6][8]. */
export function tileWinogradOutputColumns(groups: i32, m: usize, plane: i32, to: usize): void {
  outputPass(groups, 6, m, 6 * plane, plane, 32, to, 192, 32, 768);
}

/** A^T along the rows: out of scratch into 4 x 4 pixels. */
export function tileWinogradOutputRows(groups: i32, from: usize, y: usize, yRow: i32, yPixel: i32): void {
  outputPass(groups, 4, from, 32, 192, 768, y, yPixel, yRow, 32);
}

/** The filter transform, 3 -> 6: G. */
export function tileWinogradFilter(
  rows: i32, from: usize, fromStride: i32, fromRow: i32, to: usize, toStride: i32, toRow: i32,
): void {
  const zero = v128.load32_splat(ZERO_0);
  const a0 = v128.load32_splat(A_0);
  const a1 = v128.load32_splat(A_1);
  const minusA1 = v128.load32_splat(MINUS_A_1);
  const a2 = v128.load32_splat(A_2);
  const b0 = v128.load32_splat(B_0);
  const b1 = v128.load32_splat(B_1);
  const minusB1 = v128.load32_splat(MINUS_B_1);
  const b2 = v128.load32_splat(B_2);
  if (rows > 0) do {
    const s1 = from + fromStride, s2 = s1 + fromStride;
    const t1 = to + toStride, t2 = t1 + toStride, t3 = t2 + toStride, t4 = t3 + toStride, t5 = t4 + toStride;
    const p0 = v128.load(from), q0 = v128.load(from, 16);
    const p1 = v128.load(s1), q1 = v128.load(s1, 16);
    const p2 = v128.load(s2), q2 = v128.load(s2, 16);
    const pZero = f32x4.mul(zero, p0), qZero = f32x4.mul(zero, q0);
    const pEvenA = MADD(a2, p2, f32x4.mul(a0, p0)), qEvenA = MADD(a2, q2, f32x4.mul(a0, q0));
    const pEvenB = MADD(b2, p2, f32x4.mul(b0, p0)), qEvenB = MADD(b2, q2, f32x4.mul(b0, q0));
    const pPlusA = MADD(a1, p1, pEvenA), qPlusA = MADD(a1, q1, qEvenA);
    const pMinusA = MADD(minusA1, p1, pEvenA), qMinusA = MADD(minusA1, q1, qEvenA);
    const pPlusB = MADD(b1, p1, pEvenB), qPlusB = MADD(b1, q1, qEvenB);
    const pMinusB = MADD(minusB1, p1, pEvenB), qMinusB = MADD(minusB1, q1, qEvenB);
    v128.store(to, qZero, 16);
    v128.store(to, pZero);
    v128.store(t1, qPlusA, 16);
    v128.store(t1, pPlusA);
    v128.store(t2, qMinusA, 16);
    v128.store(t2, pMinusA);
    v128.store(t3, qPlusB, 16);
    v128.store(t3, pPlusB);
    v128.store(t4, qMinusB, 16);
    v128.store(t4, pMinusB);
    v128.store(t5, q2, 16);
    v128.store(t5, p2);
    from += fromRow;
    to += toRow;
  } while (--rows);
}

/** The adjoint of the output transform, 4 -> 6: A, for the gradient of the outputs. */
// @ts-ignore: decorator
@inline
function gradientPass(
  groups: i32, count: i32,
  from: usize, fromStride: i32, fromStep: i32, fromGroup: i32, to: usize, toStride: i32, toStep: i32, toGroup: i32,
): void {
  const a = v128.load32_splat(PLUS_A);
  const minusA = v128.load32_splat(MINUS_A);
  const b = v128.load32_splat(PLUS_B);
  const minusB = v128.load32_splat(MINUS_B);
  const a2 = v128.load32_splat(PLUS_A2);
  const b2 = v128.load32_splat(PLUS_B2);
  const from1 = fromStride, from2 = 2 * fromStride, from3 = 3 * fromStride;
  const to1 = toStride, to2 = 2 * toStride, to3 = 3 * toStride, to4 = 4 * toStride, to5 = 5 * toStride;
  if (groups > 0 && count > 0) do {
    let k = count;
    let s0 = from;
    let t0 = to;
    do {
      const s1 = s0 + from1, s2 = s0 + from2, s3 = s0 + from3;
      const t1 = t0 + to1, t2 = t0 + to2, t3 = t0 + to3, t4 = t0 + to4, t5 = t0 + to5;
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
      v128.store(t0, q0, 16);
      v128.store(t0, p0);
      v128.store(t1, qPlusA, 16);
      v128.store(t1, pPlusA);
      v128.store(t2, qMinusA, 16);
      v128.store(t2, pMinusA);
      v128.store(t3, qPlusB, 16);
      v128.store(t3, pPlusB);
      v128.store(t4, qMinusB, 16);
      v128.store(t4, pMinusB);
      v128.store(t5, q3, 16);
      v128.store(t5, p3);
      s0 += fromStep;
      t0 += toStep;
    } while (--k);
    from += fromGroup;
    to += toGroup;
  } while (--groups);
}

/** A down the columns of 4 x 4 pixels: from dy into scratch [groups][6][4][8]. */
export function tileWinogradGradientColumns(groups: i32, dy: usize, dyRow: i32, dyPixel: i32, to: usize): void {
  gradientPass(groups, 4, dy, dyRow, dyPixel, 32, to, 128, 32, 768);
}

/** A along the rows: out of scratch into elements `plane` bytes apart. */
export function tileWinogradGradientRows(groups: i32, from: usize, p: usize, plane: i32): void {
  gradientPass(groups, 6, from, 32, 128, 768, p, plane, 6 * plane, 32);
}

/** The adjoint of the filter transform, 6 -> 3: G^T, for the gradient of the weights. */
export function tileWinogradFilterGradient(
  rows: i32, from: usize, fromStride: i32, fromRow: i32, to: usize, toStride: i32, toRow: i32,
): void {
  const zero = v128.load32_splat(ZERO_0);
  const a0 = v128.load32_splat(A_0);
  const a1 = v128.load32_splat(A_1);
  const a2 = v128.load32_splat(A_2);
  const b0 = v128.load32_splat(B_0);
  const b1 = v128.load32_splat(B_1);
  const b2 = v128.load32_splat(B_2);
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
    const pSumA = f32x4.add(p1, p2), qSumA = f32x4.add(q1, q2);
    const pDiffA = f32x4.sub(p1, p2), qDiffA = f32x4.sub(q1, q2);
    const pSumB = f32x4.add(p3, p4), qSumB = f32x4.add(q3, q4);
    const pDiffB = f32x4.sub(p3, p4), qDiffB = f32x4.sub(q3, q4);
    const pFirst = MADD(b0, pSumB, MADD(a0, pSumA, f32x4.mul(zero, p0)));
    const qFirst = MADD(b0, qSumB, MADD(a0, qSumA, f32x4.mul(zero, q0)));
    const pSecond = MADD(b1, pDiffB, f32x4.mul(a1, pDiffA)), qSecond = MADD(b1, qDiffB, f32x4.mul(a1, qDiffA));
    const pThird = MADD(b2, pSumB, MADD(a2, pSumA, p5)), qThird = MADD(b2, qSumB, MADD(a2, qSumA, q5));
    v128.store(to, qFirst, 16);
    v128.store(to, pFirst);
    v128.store(t1, qSecond, 16);
    v128.store(t1, pSecond);
    v128.store(t2, qThird, 16);
    v128.store(t2, pThird);
    from += fromRow;
    to += toRow;
  } while (--rows);
}
