/** How packing is cut into units: all of it, once, and nobody reads across. */
import { cutIntoUnits, type FloatRange, unitFloats } from '@lockstep/shared/model/weight-units.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const ranges: fc.Arbitrary<FloatRange[]> = fc.array(
  fc
    .record({ from: fc.integer({ min: 0, max: 60 }), size: fc.integer({ min: 1, max: 12 }) })
    .map(({ from, size }) => ({ from, to: from + size })),
  { maxLength: 14 },
);

test('any ranges: units hold what is read and nothing else, apart, in order, and no range lies in two', (t) => {
  assertProperty(
    fc.property(ranges, fc.integer({ min: 1, max: 40 }), (reads, largest) => {
      const units = cutIntoUnits(reads, largest);
      const read = new Set(
        reads.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)),
      );
      const held = units.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));
      const isOrdered = held.every((float, i) => i === 0 || float > (held[i - 1] as number));
      const isWhole = reads.every(({ from, to }) => units.some((unit) => unit.from <= from && to <= unit.to));
      return isOrdered && isWhole && held.length === read.size && held.every((float) => read.has(float));
    }),
    500,
  );
  t.pass();
});

test('neighbours are put together up to the largest unit, and what is larger stays whole', (t) => {
  const reads = [0, 10, 20, 30].map((from) => ({ from, to: from + 10 }));
  t.deepEqual(cutIntoUnits(reads, 20), [
    { from: 0, to: 20 },
    { from: 20, to: 40 },
  ]);
  t.deepEqual(
    cutIntoUnits(
      [
        { from: 0, to: 50 },
        { from: 50, to: 51 },
      ],
      20,
    ),
    [
      { from: 0, to: 50 },
      { from: 50, to: 51 },
    ],
  );
  t.deepEqual(
    cutIntoUnits(
      [
        { from: 0, to: 5 },
        { from: 6, to: 9 },
      ],
      20,
    ),
    [
      { from: 0, to: 5 },
      { from: 6, to: 9 },
    ],
  );
  t.deepEqual(cutIntoUnits([]), []);
});

test('ResNet-18: no unit is so large that the others wait for whoever has it', (t) => {
  const images = { height: 32, width: 32, channels: 3 };
  const model = buildModel('resnet18', { images, classes: 10, shortcut: 'A' });
  for (const convolution of ['winograd', 'direct'] as const) {
    const { prepare, layout } = compileProgram(model, 'train', 4, {
      batchNormEpsilon: 1e-5,
      convolution,
      parameters: 'passing',
    });
    const largest = Math.max(...prepare.map(({ from, to }) => to - from));
    // A tap of 512 x 512 filters, which no kernel takes apart.
    t.is(largest, 512 * 512);
    t.true(prepare.length > 32 && prepare.length < 300, `${prepare.length} units`);
    t.true(layout.parameterCount / prepare.length > unitFloats);
  }
});
