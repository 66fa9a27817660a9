import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { treeSumScratchBytes } from '@lockstep/shared/kernels/reduction.ts';
import { dtypeCodes } from '@lockstep/shared/kernels/short-floats.ts';
import { roundFloats } from '@lockstep/shared/protocol/dtype.ts';
import type { Subtree, WireDtype } from '@lockstep/shared/protocol/messages.ts';
import { summationSchedule } from '@lockstep/shared/protocol/subtree.ts';
import { combineTree, splitWidth } from '@lockstep/shared/reduce/tree.ts';
import test from 'ava';
import fc from 'fast-check';
import { sameWords } from '../../helpers/bits.ts';
import { checkCalls, noise, seeds, runCalls, referenceCalls } from '../../helpers/kernel-check.ts';
import { KernelHarness, type TestBuffer } from '../../helpers/kernel-harness.ts';

const dtypes = ['f32', 'bf16', 'f16'] as const;

/** Widely different magnitudes: nearly every other order of summation gives other bits. Halves overflow at some. */
const spread = (seed: number) => (i: number) => noise(seed)(i) * 10 ** (3 * noise(seed + 1)(i));

const rounded = (values: Float32Array, dtype: WireDtype): Float32Array => {
  roundFloats(values, dtype);
  return values;
};

/** The tree by its definition: every node rounded. */
function treeOf(leaves: readonly Float32Array[], dtype: WireDtype): Float32Array {
  return combineTree(
    leaves.length,
    (k) => rounded(Float32Array.from(leaves[k] as Float32Array), dtype),
    (a, b) =>
      rounded(
        a.map((x, i) => x + (b[i] as number)),
        dtype,
      ),
  );
}

/** A random way to cover the tree by whole subtrees. */
function tiling(leaves: number, cut: (i: number) => boolean): Subtree[] {
  const covers: Subtree[] = [];
  const visit = (from: number, width: number): void => {
    if (width === 1 || !cut(from * 1031 + width)) {
      covers.push({ from, width });
      return;
    }
    const left = splitWidth(width);
    visit(from, left);
    visit(from + left, width - left);
  };
  visit(0, leaves);
  return covers;
}

/** A schedule in which the sum of a cover lies in the slot of its first shard. */
function scheduleOf(leaves: number, covers: readonly Subtree[]): Int32Array {
  const made = summationSchedule(leaves, covers);
  if (!made.ok) throw new Error(made.reason);
  return made.program.map((step) => (step < 0 ? step : (covers[step] as Subtree).from));
}

const singles = (width: number): Subtree[] =>
  Array.from({ length: width }, (_, from) => ({ from, width: 1 }));

interface Slots {
  readonly harness: KernelHarness;
  readonly slots: TestBuffer;
  readonly slotBytes: number;
  readonly n: number;
  readonly from: number;
  readonly scratch: TestBuffer;
  readonly dtype: WireDtype;
}

/** A call that sums slots `first` and on by a schedule. */
function sumCall(s: Slots, schedule: TestBuffer, first: number, out: number) {
  const { slotBytes, from, n } = s;
  return [
    'treeSum',
    {
      slots: s.slots.offset + first * slotBytes,
      slotBytes,
      schedule: schedule.offset,
      scheduleLength: schedule.length,
      from,
      n,
      dtype: dtypeCodes[s.dtype],
      out,
      scratch: s.scratch.offset,
    },
  ] as const;
}

function slotsFor(count: number, n: number, from: number, seed: number, dtype: WireDtype): Slots {
  const harness = new KernelHarness();
  const slot = from + n + 3;
  const slots = harness.buffer('f32', count * slot, spread(seed));
  const scratch = harness.buffer('f32', treeSumScratchBytes(n) / 4, () => Number.NaN);
  return { harness, slots, slotBytes: 4 * slot, n, from, scratch, dtype };
}

function leavesOf({ slots, slotBytes, from, n }: Slots): Float32Array[] {
  const slot = slotBytes / 4;
  return Array.from({ length: slots.length / slot }, (_, k) =>
    Float32Array.from(slots.data.subarray(k * slot + from, k * slot + from + n)),
  );
}

const sizes = fc.record({
  count: fc.integer({ min: 1, max: 40 }),
  n: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 500, max: 1100 })),
  from: fc.integer({ min: 0, max: 9 }),
  seed: seeds,
});

for (const dtype of dtypes) {
  test(`treeSum in ${dtype} is the fixed tree, bit for bit, and leaves the slots alone`, (t) => {
    fc.assert(
      fc.property(sizes, ({ count, n, from, seed }) => {
        const s = slotsFor(count, n, from, seed, dtype);
        const { harness } = s;
        const out = harness.buffer('f32', n, () => 77);
        const program = scheduleOf(count, singles(count));
        const schedule = harness.buffer('i32', program.length, (i) => program[i] as number);
        const calls = [sumCall(s, schedule, 0, out.offset)];
        checkCalls(harness, calls, [
          // Leaves reach 1000 and may cancel: the error is relative to them, not to what is left.
          { name: 'out', buffer: out, tolerance: 1e-5, floor: 1000 },
          { name: 'slots', buffer: s.slots, tolerance: 0 },
        ]);
        const found = runCalls(harness, 'fma-wide', calls).read(out);
        sameWords(Float32Array.from(found), treeOf(leavesOf(s), dtype), `${count} slots`);
      }),
      { includeErrorInReport: true },
    );
    t.pass();
  });

  test(`treeSum in ${dtype}: sums of subtrees in the slots of their first shards give the bits of the whole`, (t) => {
    fc.assert(
      fc.property(sizes, fc.double({ min: 0, max: 1, noNaN: true }), ({ count, n, from, seed }, share) => {
        const s = slotsFor(count, n, from, seed, dtype);
        const { harness } = s;
        const out = harness.buffer('f32', n, () => 77);
        const covers = tiling(count, (i) => (noise(seed + 2)(i) + 1) / 2 < share);
        const buffer = (program: Int32Array) =>
          harness.buffer('i32', program.length, (i) => program[i] as number);
        const calls = covers.map((cover) => {
          const own = s.slots.offset + cover.from * s.slotBytes + 4 * from;
          return sumCall(s, buffer(scheduleOf(cover.width, singles(cover.width))), cover.from, own);
        });
        const all = [...calls, sumCall(s, buffer(scheduleOf(count, covers)), 0, out.offset)];
        const whole = treeOf(leavesOf(s), dtype);
        for (const build of buildNames) {
          const found = Float32Array.from(runCalls(harness, build, all).read(out));
          sameWords(found, whole, `${build}: ${JSON.stringify(covers)}`);
        }
      }),
      { numRuns: 60, includeErrorInReport: true },
    );
    t.pass();
  });
}

test('no slots sum to 0', (t) => {
  const s = slotsFor(1, 600, 0, 1, 'f32');
  const out = s.harness.buffer('f32', 600, () => 77);
  const schedule = s.harness.buffer('i32', 0);
  t.true(
    runCalls(s.harness, 'fma-narrow', [sumCall(s, schedule, 0, out.offset)])
      .read(out)
      .every((x) => x === 0),
  );
});

test('a tree of 1024 shards fits the scratch', (t) => {
  const s = slotsFor(1024, 7, 0, 5, 'f32');
  const out = s.harness.buffer('f32', 7);
  const program = scheduleOf(1024, singles(1024));
  const schedule = s.harness.buffer('i32', program.length, (i) => program[i] as number);
  const found = runCalls(s.harness, 'fma-wide', [sumCall(s, schedule, 0, out.offset)]).read(out);
  t.notThrows(() => sameWords(Float32Array.from(found), treeOf(leavesOf(s), 'f32'), 'sum'));
});

test('the sum of a slice has the bits of the slice of the sum', (t) => {
  const [count, n] = [7, 1000];
  for (const dtype of dtypes) {
    const s = slotsFor(count, n, 0, 1, dtype);
    const { harness } = s;
    const whole = harness.buffer('f32', n);
    const parts = harness.buffer('f32', n);
    const program = scheduleOf(count, singles(count));
    const schedule = harness.buffer('i32', program.length, (i) => program[i] as number);
    const part = (from: number, to: number) =>
      sumCall({ ...s, from, n: to - from }, schedule, 0, parts.offset + 4 * from);
    const calls = [sumCall(s, schedule, 0, whole.offset), part(0, 333), part(333, 334), part(334, 1000)];
    for (const build of buildNames) {
      const run = runCalls(harness, build, calls);
      t.deepEqual(run.read(parts), run.read(whole));
    }
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
