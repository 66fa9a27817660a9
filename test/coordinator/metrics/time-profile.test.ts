/** Shares of the threads' time, and what limits a piece of work: by figures that a reader can check. */
import type { Roofs } from '@lockstep/coordinator/metrics/roofs.ts';
import { measureRoofs } from '@lockstep/coordinator/metrics/roofs.ts';
import { decideLimit, profileShares, timeProfile } from '@lockstep/coordinator/metrics/time-profile.ts';
import { benchmarkText } from '@lockstep/coordinator/terminal/benchmark-text.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import type { Expense } from '@lockstep/worker/rank/profile.ts';
import test from 'ava';

const roofs: Roofs = {
  gigaflops: 100,
  memory: [
    { bytes: 1e5, gigabytesPerSecond: 80 },
    { bytes: 1e8, gigabytesPerSecond: 10 },
  ],
};

const conv: Expense = {
  group: 'convolution forward',
  name: 'convForward',
  shapes: '2x8x8x16 -> 2x8x8x16',
  calls: 10,
  seconds: 1,
  flops: 60e9,
  bytes: 1e6,
};
const add: Expense = { ...conv, group: 'data movement', name: 'add', flops: 5e8, bytes: 6e9 };
const loading: Expense = { ...conv, group: 'loading', name: 'loading', shapes: '', flops: 0, bytes: 0 };

test('the limit is the roof that is nearer, if one is near', (t) => {
  t.is(decideLimit(conv, roofs, 4e7), 'arithmetic');
  // 6 GB/s: of the 10 that memory gives, and of the 80 of a cache.
  t.is(decideLimit(add, roofs, 4e7), 'memory traffic');
  t.is(decideLimit(add, roofs, 4e5), 'other');
  t.is(decideLimit(loading, roofs, 4e7), 'other');
  t.is(decideLimit({ ...loading, group: 'waiting for weights' }, roofs, 4e7), 'waiting');
});

test('shares are of all threads together; what nobody counted is waiting', (t) => {
  const shares = profileShares([[conv, loading], [conv]], 4);
  t.deepEqual(shares, [
    { name: 'convolution forward', share: 0.5 },
    { name: 'loading', share: 0.25 },
    { name: 'waiting', share: 0.25 },
  ]);
  const { limits, kernels } = timeProfile(
    [[conv, loading], [conv]],
    { wall: 4, steps: 5, workingSet: 4e7 },
    roofs,
  );
  t.deepEqual(limits, [
    { name: 'arithmetic', share: 0.5 },
    { name: 'other', share: 0.25 },
    { name: 'waiting', share: 0.25 },
  ]);
  t.deepEqual(kernels[0], {
    name: 'convForward',
    group: 'convolution forward',
    shapes: conv.shapes,
    calls: 4,
    share: 0.5,
    gigaflops: 60,
    gigabytes: 0.001,
    limit: 'arithmetic',
  });
  t.is(kernels[1]?.gigaflops, null);
  t.is(kernels[1]?.gigabytes, null);
});

test('a machine has roofs', async (t) => {
  const module = await compileKernels('fma-narrow');
  const rates: number[][] = [];
  // The best of three: while it was measured once, the machine may have stood still.
  while (rates.length < 3 && !rates.at(-1)?.every((rate) => rate > 1)) {
    const { gigaflops, memory } = measureRoofs('fma-narrow', module);
    t.is(memory.length, 3);
    // A roof of memory is plausible from a tenth of a gigabyte a second on.
    rates.push([gigaflops, ...memory.map(({ gigabytesPerSecond }) => 10 * gigabytesPerSecond)]);
  }
  const last = rates.at(-1) ?? [];
  t.true(
    last.every((rate) => rate > 1 && Number.isFinite(rate)),
    last.join(),
  );
});

test('as text: limits and kernels where they were asked for', (t) => {
  const many = Array.from({ length: 40 }, (_, i) => ({ ...conv, shapes: `shape ${i}`, seconds: 0.1 }));
  const report = {
    type: 'result',
    model: 'A model',
    dataset: 'Images',
    batchSize: 8,
    shardsPerStep: 2,
    kernels: 'fma-wide',
    kernelsReason: 'faster',
    rounds: 3,
    figures: [{ threads: 1, imagesPerSecond: 500, speedup: 1, efficiency: 1, coresGive: 1 }],
    profile: profileShares([many], 5),
    details: timeProfile([many], { wall: 5, steps: 1, workingSet: 4e7 }, roofs),
  } as const;
  const text = benchmarkText(report);
  t.regex(text, /one thread at most: 100 GFLOP\/s in registers; additions over 97\.7 KiB 80 GB\/s/);
  t.regex(text, /arithmetic +│ +80\.00 %/);
  t.regex(text, /convForward +│ shape 0 .*600/);
  t.regex(text, /10 more: 20\.00 %/);
  t.false(benchmarkText({ ...report, details: null }).includes('GFLOP/s in registers'));
});
