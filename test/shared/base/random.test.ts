/** Random numbers: the published vectors of Philox, permutations that are permutations, and even spreads. */
import {
  permuteIndex,
  philox,
  randomStreams,
  randomWords,
  type RandomStream,
  toIndex,
  toUnit,
} from '@lockstep/shared/base/random.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

test('Philox 4x32-10: the known answers of Random123', (t) => {
  t.deepEqual(philox(0, 0, 0, 0, 0, 0), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  const ones = 0xffffffff;
  t.deepEqual(philox(ones, ones, ones, ones, ones, ones), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
  // The digits of pi.
  const pi = philox(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0);
  t.deepEqual(pi, [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
});

/** Philox with integers of any size. */
function philoxByBigInt(counter: readonly number[], key: readonly number[]): number[] {
  const mask = 0xffffffffn;
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const [p0, p1] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return [c0, c1, c2, c3].map(Number);
}

const word = fc.integer({ min: 0, max: 0xffffffff });

test('Philox agrees with itself in big integers', (t) => {
  assertProperty(
    fc.property(fc.array(word, { minLength: 6, maxLength: 6 }), (words) => {
      const [c0, c1, c2, c3, k0, k1] = words as [number, number, number, number, number, number];
      return String(philox(c0, c1, c2, c3, k0, k1)) === String(philoxByBigInt([c0, c1, c2, c3], [k0, k1]));
    }),
    1000,
  );
  t.pass();
});

test('another seed, stream or counter gives other numbers; all of a large seed counts', (t) => {
  const streams = Object.keys(randomStreams) as RandomStream[];
  const drawn = [
    ...streams.map((stream) => randomWords(1, stream, 0)),
    randomWords(2, 'shuffle', 0),
    randomWords(1 + 2 ** 32, 'shuffle', 0),
    randomWords(Number.MAX_SAFE_INTEGER, 'shuffle', 0),
    randomWords(1, 'shuffle', 1),
    randomWords(1, 'shuffle', 0, 1),
    randomWords(1, 'shuffle', 0, 0, 1),
  ].map(String);
  t.is(new Set(drawn).size, drawn.length);
  t.is(new Set(Object.values(randomStreams)).size, streams.length);
  t.is(String(randomWords(1, 'shuffle', 5, 6, 7)), String(randomWords(1, 'shuffle', 5, 6, 7)));
});

test('units lie in [0, 1), indexes below their bound', (t) => {
  t.is(toUnit(0), 0);
  t.true(toUnit(0xffffffff) < 1);
  t.is(toIndex(0xffffffff, 2 ** 20), 2 ** 20 - 1);
  assertProperty(
    fc.property(word, fc.integer({ min: 1, max: 2 ** 20 }), (w, n) => {
      const index = toIndex(w, n);
      return Number.isInteger(index) && index >= 0 && index < n;
    }),
  );
});

/** Sum of (found - expected)^2 / expected. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((a, b) => a + b, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

test('each of the four words is spread evenly: chi-square of 256 cells', (t) => {
  for (let which = 0; which < 4; which++) {
    for (const shift of [0, 24]) {
      const counts = Array.from({ length: 256 }, () => 0);
      for (let i = 0; i < 25_600; i++) {
        const cell = ((randomWords(9, 'augment', i)[which] as number) >>> shift) & 255;
        counts[cell] = (counts[cell] as number) + 1;
      }
      // 255 degrees of freedom: mean 255, standard deviation 22.6. Fixed numbers: it passes or fails for good.
      t.true(Math.abs(chiSquare(counts) - 255) < 5 * 22.6, `word ${which}`);
    }
  }
});

test('permuteIndex is a bijection of 0..n-1', (t) => {
  const check = (seed: number, epoch: number, n: number): boolean => {
    const seen = new Uint8Array(n);
    for (let i = 0; i < n; i++) {
      const at = permuteIndex(seed, epoch, n, i);
      if (!(at >= 0 && at < n) || seen[at]) return false;
      seen[at] = 1;
    }
    return true;
  };
  for (let n = 1; n <= 130; n++) t.true(check(n, 0, n), `${n}`);
  for (const n of [255, 256, 257, 4095, 4096, 4097, 10_000]) t.true(check(3, 1, n), `${n}`);
  assertProperty(
    fc.property(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), fc.nat(1000), fc.nat(400), (s, e, n) =>
      check(s, e, n + 1),
    ),
    60,
  );
});

test('permuteIndex of millions stays a permutation: no image twice in a window', (t) => {
  const n = 3_000_017;
  const images = Array.from({ length: 3000 }, (_, i) => permuteIndex(1, 0, n, i * 1000));
  t.is(new Set(images).size, images.length);
  t.true(images.every((x) => Number.isInteger(x) && x >= 0 && x < n));
  t.true(Math.max(...images) > 0.99 * n && Math.min(...images) < 0.01 * n);
});

test('permutations differ between epochs and seeds and spread every place evenly', (t) => {
  const n = 16;
  const order = (seed: number, epoch: number) =>
    Array.from({ length: n }, (_, i) => permuteIndex(seed, epoch, n, i)).join(' ');
  const orders = Array.from({ length: 50 }, (_, epoch) => order(1, epoch));
  t.true(new Set(orders).size >= 49);
  t.not(order(1, 0), order(2, 0));
  for (const place of [0, 7, 15]) {
    const counts = Array.from({ length: n }, () => 0);
    for (let epoch = 0; epoch < 3200; epoch++) {
      const at = permuteIndex(5, epoch, n, place);
      counts[at] = (counts[at] as number) + 1;
    }
    // 15 degrees of freedom: mean 15, standard deviation 5.5.
    t.true(chiSquare(counts) < 15 + 5 * 5.5, `place ${place}: ${chiSquare(counts)}`);
  }
});
