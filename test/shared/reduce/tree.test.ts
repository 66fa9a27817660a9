/** The fixed tree: its shape, that whole subtrees may be summed elsewhere, and that all parts agree on it. */
import { combineKnown, combineTree, splitWidth } from '@lockstep/shared/reduce/tree.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

/** The tree by its definition, in words: `((0+1)+2)`. */
function byDefinition(from: number, to: number): string {
  const width = to - from;
  if (width === 1) return `${from}`;
  const powers = Array.from({ length: 31 }, (_, i) => 2 ** i);
  const split = powers.findLast((power) => power < width) ?? 1;
  return `(${byDefinition(from, from + split)}+${byDefinition(from + split, to)})`;
}

const words = (width: number): string => combineTree(width, String, (a, b) => `(${a}+${b})`);

test('a range splits at the largest power of two below its width', (t) => {
  const expected = [1, 2, 2, 4, 4, 4, 4, 8, 8];
  t.deepEqual(
    expected.map((_, i) => splitWidth(i + 2)),
    expected,
  );
  const powers = Array.from({ length: 11 }, (_, i) => 2 ** i);
  for (let width = 2; width <= 1025; width++) {
    t.is(splitWidth(width), powers.findLast((power) => power < width) ?? 0, `${width}`);
  }
});

test('shards are combined in the order of the definition', (t) => {
  t.is(words(1), '0');
  t.is(words(3), '((0+1)+2)');
  t.is(words(6), '(((0+1)+(2+3))+(4+5))');
  for (let width = 1; width <= 130; width++) t.is(words(width), byDefinition(0, width));
});

test('every leaf is asked for once, from left to right', (t) => {
  for (const width of [1, 2, 7, 8, 100]) {
    const asked: number[] = [];
    combineTree(
      width,
      (i) => asked.push(i),
      (a, b) => a + b,
    );
    t.deepEqual(asked, [...Array(width).keys()]);
  }
});

test('a tree without leaves, or with half a leaf, is refused', (t) => {
  for (const width of [0, -1, 1.5, Number.NaN]) {
    t.throws(
      () =>
        combineTree(
          width,
          (i) => i,
          (a, b) => a + b,
        ),
      { instanceOf: RangeError },
    );
  }
});

const add = (a: number, b: number): number => Math.fround(a + b);

test('a subtree that begins on a multiple of its power of two may be summed elsewhere: same bits', (t) => {
  assertProperty(
    fc.property(
      fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 70 }),
      fc.integer({ min: 0, max: 6 }),
      (values, level) => {
        const leaf = (i: number) => values[i] as number;
        const whole = combineTree(values.length, leaf, add);
        // Nodes own aligned blocks; the last one may be cut short, and is then a subtree as well.
        const block = 2 ** level;
        const parts = Array.from({ length: Math.ceil(values.length / block) }, (_, k) => {
          const width = Math.min(block, values.length - k * block);
          return combineTree(width, (i) => leaf(k * block + i), add);
        });
        return Object.is(
          combineTree(parts.length, (i) => parts[i] as number, add),
          whole,
        );
      },
    ),
    500,
  );
  t.pass();
});

test('the order matters: another one gives other bits', (t) => {
  const values = Array.from({ length: 64 }, (_, i) => Math.fround(Math.sin(i * 7.1) * 10 ** (i % 7)));
  const tree = combineTree(64, (i) => values[i] as number, add);
  t.not(values.reduce(add), tree);
});

test('known ranges: any that cover the tree give its value, others none', (t) => {
  assertProperty(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.boolean(), { maxLength: 80 }),
      (width, coins) => {
        const ranges = new Map<string, string>();
        let next = 0;
        let isWhole = true;
        const cover = (from: number, size: number): void => {
          const coin = coins[next++] ?? true;
          if (coin || size === 1) {
            // A single shard may be missing altogether.
            if (coin) ranges.set(`${from} ${size}`, byDefinition(from, from + size));
            else isWhole = false;
            return;
          }
          const left = splitWidth(size);
          cover(from, left);
          cover(from + left, size - left);
        };
        cover(0, width);
        const found = combineKnown(
          width,
          (from, size) => ranges.get(`${from} ${size}`) ?? null,
          (a, b) => `(${a}+${b})`,
        );
        return found === (isWhole ? byDefinition(0, width) : null);
      },
    ),
    500,
  );
  t.pass();
});
