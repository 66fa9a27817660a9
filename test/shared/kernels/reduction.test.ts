import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { treeSplit, treeSumScratchBytes } from '@lockstep/shared/kernels/reduction.ts';
import test from 'ava';
import fc from 'fast-check';
import { checkCalls, noise, seeds, runCalls, referenceCalls } from '../../helpers/kernel-check.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

/** The tree by its definition, in float32. */
function treeOf(leaves: readonly number[]): number {
  if (leaves.length === 0) return 0;
  if (leaves.length === 1) return leaves[0] as number;
  const split = treeSplit(leaves.length);
  return Math.fround(treeOf(leaves.slice(0, split)) + treeOf(leaves.slice(split)));
}

test('a range splits at the largest power of two below its width', (t) => {
  t.deepEqual([2, 3, 4, 5, 7, 8, 9, 16, 17].map(treeSplit), [1, 2, 2, 4, 4, 4, 8, 8, 16]);
});

test('treeSum is the fixed tree, bit for bit, and leaves the slots alone', (t) => {
  const sizes = fc.record({
    count: fc.integer({ min: 0, max: 40 }),
    n: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 500, max: 1100 })),
    from: fc.integer({ min: 0, max: 9 }),
    spare: fc.integer({ min: 0, max: 5 }),
    seed: seeds,
  });
  fc.assert(
    fc.property(sizes, ({ count, n, from, spare, seed }) => {
      const harness = new KernelHarness();
      const slot = from + n + spare;
      // Widely different magnitudes: nearly every other order of summation gives other bits.
      const value = (i: number): number => noise(seed)(i) * 10 ** (3 * noise(seed + 1)(i));
      const slots = harness.buffer('f32', count * slot, value);
      const out = harness.buffer('f32', n, () => 77);
      const scratch = harness.buffer('f32', treeSumScratchBytes(n) / 4, () => Number.NaN);
      const pointers = { slots: slots.offset, out: out.offset, scratch: scratch.offset };
      const calls = [['treeSum', { ...pointers, slotBytes: 4 * slot, count, from, n }]] as const;
      checkCalls(harness, calls, [
        // Leaves reach 1000 and may cancel: the error is relative to them, not to what is left.
        { name: 'out', buffer: out, tolerance: 1e-5, floor: 1000 },
        { name: 'slots', buffer: slots, tolerance: 0 },
      ]);
      const found = runCalls(harness, 'fma-wide', calls).read(out);
      for (let i = 0; i < n; i++) {
        const leaves = Array.from({ length: count }, (_, k) => slots.data[k * slot + from + i] as number);
        if (found[i] !== treeOf(leaves))
          throw new Error(`${i}: ${found[i]}, the tree gives ${treeOf(leaves)}`);
      }
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('the sum of a slice has the bits of the slice of the sum', (t) => {
  const [count, n] = [7, 1000];
  const harness = new KernelHarness();
  const slots = harness.buffer('f32', count * n, (i) => noise(1)(i) * 10 ** (3 * noise(2)(i)));
  const whole = harness.buffer('f32', n);
  const parts = harness.buffer('f32', n);
  const scratch = harness.buffer('f32', treeSumScratchBytes(n) / 4);
  const base = { slots: slots.offset, slotBytes: 4 * n, count, scratch: scratch.offset };
  const part = (from: number, to: number) =>
    ['treeSum', { ...base, from, n: to - from, out: parts.offset + 4 * from }] as const;
  const calls = [
    ['treeSum', { ...base, from: 0, n, out: whole.offset }] as const,
    part(0, 333),
    part(333, 334),
    part(334, 1000),
  ];
  for (const build of buildNames) {
    const run = runCalls(harness, build, calls);
    t.deepEqual(run.read(parts), run.read(whole));
  }
});

test('countNonFinite counts every NaN and infinity, wherever it is', (t) => {
  fc.assert(
    fc.property(fc.array(fc.float(), { maxLength: 50 }), (values) => {
      const harness = new KernelHarness();
      const p = harness.buffer('f32', values.length, (i) => values[i] as number);
      const calls = [['countNonFinite', { p: p.offset, n: values.length }]] as const;
      const expected = values.filter((x) => !Number.isFinite(x)).length;
      if (referenceCalls(harness, calls).results[0] !== expected) throw new Error('the reference is wrong');
      for (const build of buildNames) {
        const [found] = runCalls(harness, build, calls).results;
        if (found !== expected) throw new Error(`${build}: ${found} of ${expected}`);
      }
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});
