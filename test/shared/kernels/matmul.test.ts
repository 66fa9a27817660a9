import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { matmulScratchBytes } from '@lockstep/shared/kernels/matmul.ts';
import test from 'ava';
import fc from 'fast-check';
import { sameBits } from '../../helpers/bits.ts';
import { compareArrays } from '../../helpers/comparison.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';
import { assertProperty } from '../../helpers/property.ts';

interface Case {
  readonly transA: boolean;
  readonly transB: boolean;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Floats between rows beyond the logical width, for A, B and C. */
  readonly gaps: readonly [number, number, number];
  readonly accumulate: boolean;
  readonly seed: number;
}

/** Outside of the logical matrices everything is NaN: read, it would reach C; written, it would be gone. */
const outside = Number.NaN;

/** A stored matrix of rows x columns with `gap` NaNs behind each row but the last. */
function matrix(harness: KernelHarness, rows: number, columns: number, gap: number, seed: number) {
  const ld = columns + gap;
  return harness.buffer('f32', rows === 0 ? 0 : (rows - 1) * ld + columns, (i) =>
    i % ld < columns ? Math.sin(i * 1.7 + seed) : outside,
  );
}

function setUp(c: Case) {
  const harness = new KernelHarness();
  const [aRows, aColumns] = c.transA ? [c.K, c.M] : [c.M, c.K];
  const [bRows, bColumns] = c.transB ? [c.N, c.K] : [c.K, c.N];
  const A = matrix(harness, aRows, aColumns, c.gaps[0], c.seed);
  const B = matrix(harness, bRows, bColumns, c.gaps[1], c.seed + 1);
  const C = matrix(harness, c.M, c.N, c.gaps[2], c.seed + 2);
  const scratch = harness.buffer('f32', matmulScratchBytes(c.M, c.N, c.K) / 4, () => outside);
  const named = {
    transA: Number(c.transA),
    transB: Number(c.transB),
    M: c.M,
    N: c.N,
    K: c.K,
    A: A.offset,
    lda: aColumns + c.gaps[0],
    B: B.offset,
    ldb: bColumns + c.gaps[1],
    C: C.offset,
    ldc: c.N + c.gaps[2],
    accumulate: Number(c.accumulate),
    scratch: scratch.offset,
  };
  return { harness, A, B, C, calls: [['matmul', named]] as const };
}

/** The logical elements of C; throws when the gaps between its rows were written. */
function logical(values: ArrayLike<number>, c: Case): Float64Array {
  const ldc = c.N + c.gaps[2];
  for (let i = 0; i < values.length; i++) {
    if (i % ldc >= c.N && !Number.isNaN(values[i])) throw new Error(`wrote between the rows of C, at ${i}`);
  }
  return Float64Array.from(
    { length: c.M * c.N },
    (_, i) => values[Math.floor(i / c.N) * ldc + (i % c.N)] ?? outside,
  );
}

function check(c: Case): void {
  const { harness, C, calls } = setUp(c);
  const expected = logical(harness.reference(calls).read(C), c);
  const found = buildNames.map((build) => {
    const actual = harness.run(build, calls).read(C) as Float32Array;
    const result = compareArrays(logical(actual, c), expected, 3e-6, Math.sqrt(c.K) / 2);
    if (!result.ok) throw new Error(`${build}: ${result.message}`);
    return actual;
  });
  sameBits(found, buildNames);
}

const gap = fc.integer({ min: 0, max: 5 });
const cases = (size: number, depth: number): fc.Arbitrary<Case> =>
  fc.record({
    transA: fc.boolean(),
    transB: fc.boolean(),
    M: fc.integer({ min: 1, max: size }),
    N: fc.integer({ min: 1, max: size }),
    K: fc.integer({ min: 1, max: depth }),
    gaps: fc.tuple(gap, gap, gap),
    accumulate: fc.boolean(),
    seed: fc.integer({ min: 0, max: 1000 }),
  });

test('matmul agrees with its reference for odd shapes, transposes and leading dimensions', (t) => {
  assertProperty(fc.property(cases(40, 40), check), 200);
  t.pass();
});

test('matmul agrees with its reference across the blocks of K', (t) => {
  assertProperty(fc.property(cases(20, 800), check), 40);
  t.pass();
});

test('matmul agrees with its reference across the blocks of M and N', (t) => {
  const gaps = [1, 2, 3] as const;
  check({ transA: false, transB: true, M: 205, N: 33, K: 260, gaps, accumulate: true, seed: 1 });
  check({ transA: true, transB: false, M: 13, N: 1100, K: 257, gaps, accumulate: false, seed: 2 });
  t.pass();
});

test('a product over nothing is zero, or C itself when accumulating', (t) => {
  const shape = { transA: false, transB: false, M: 3, N: 5, K: 0, gaps: [0, 0, 1], seed: 3 } as const;
  for (const accumulate of [false, true]) check({ ...shape, accumulate });
  t.pass();
});

test('the reference agrees with a sum over outer products', (t) => {
  assertProperty(
    fc.property(cases(12, 12), (c) => {
      const { harness, A, B, C, calls } = setUp(c);
      const actual = logical(harness.reference(calls).read(C), c);
      const expected = c.accumulate ? logical(C.data, c) : new Float64Array(c.M * c.N);
      const [lda, ldb] = [calls[0][1].lda, calls[0][1].ldb];
      for (let k = 0; k < c.K; k++) {
        expected.forEach((x, at) => {
          const [i, j] = [Math.floor(at / c.N), at % c.N];
          const left = A.data[c.transA ? k * lda + i : i * lda + k] as number;
          expected[at] = x + left * (B.data[c.transB ? j * ldb + k : k * ldb + j] as number);
        });
      }
      const result = compareArrays(actual, expected, 1e-12);
      if (!result.ok) throw new Error(result.message);
    }),
  );
  t.pass();
});

test('transposed products are the gradients of a product, by central finite differences', (t) => {
  const [M, N, K] = [5, 4, 7];
  const plain = { M, N, gaps: [0, 0, 0], accumulate: false, seed: 5, transA: false, transB: false } as const;
  const { harness, A, B, C, calls } = setUp({ ...plain, K });
  const weight = (i: number): number => Math.cos(3 * i);
  /** sum(weight * C): its gradient with respect to C is `weight`. */
  const loss = (): number =>
    harness
      .reference(calls)
      .read(C)
      .reduce((sum, value, i) => sum + value * weight(i), 0);
  const derivatives = (data: Float64Array): Float64Array =>
    data.map((kept, i) => {
      const step = 2 ** -10;
      data[i] = kept + step;
      const above = loss();
      data[i] = kept - step;
      const below = loss();
      data[i] = kept;
      return (above - below) / (2 * step);
    });
  const gradient = (c: Case, left: (i: number) => number, right: (i: number) => number): Float64Array => {
    const made = setUp(c);
    made.A.data.forEach((_, i) => void (made.A.data[i] = left(i)));
    made.B.data.forEach((_, i) => void (made.B.data[i] = right(i)));
    return made.harness.reference(made.calls).read(made.C);
  };
  const dA = gradient({ ...plain, M, N: K, K: N, transB: true }, weight, (i) => B.data[i] as number);
  const dB = gradient({ ...plain, M: K, N, K: M, transA: true }, (i) => A.data[i] as number, weight);
  t.true(compareArrays(derivatives(A.data), dA, 1e-7).ok);
  t.true(compareArrays(derivatives(B.data), dB, 1e-7).ok);
});

test('a NaN in an operand fails the comparison', (t) => {
  const c = {
    transA: false,
    transB: false,
    M: 7,
    N: 9,
    K: 11,
    gaps: [0, 0, 0],
    accumulate: false,
    seed: 4,
  } as const;
  const { harness, A, C, calls } = setUp(c);
  const expected = harness.reference(calls).read(C);
  A.data[5] = Number.NaN;
  for (const build of buildNames) t.false(compareArrays(harness.run(build, calls).read(C), expected, 1).ok);
});
