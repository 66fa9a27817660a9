/** The figures of a benchmark from the rates of its rounds. */
import { figuresOf, threadCounts } from '@lockstep/coordinator/metrics/benchmark.ts';
import test from 'ava';

test('ratios are taken within a round, so a machine that changes its speed does not change them', (t) => {
  const measured = new Map([
    [1, [100, 200, 50]],
    [2, [190, 380, 100]],
  ]);
  const cores = new Map([
    [1, [8, 4, 10]],
    [2, [16, 8, 15]],
  ]);
  t.deepEqual(figuresOf(2, measured, cores), {
    threads: 2,
    imagesPerSecond: 190,
    speedup: 1.9,
    efficiency: 0.95,
    coresGive: 2,
  });
  t.like(figuresOf(1, measured, cores), { imagesPerSecond: 100, speedup: 1, coresGive: 1 });
});

test('numbers of threads: all up to 8, then powers of two, and the one that was asked for', (t) => {
  t.deepEqual(threadCounts(3), [1, 2, 3]);
  t.deepEqual(threadCounts(20), [1, 2, 3, 4, 5, 6, 7, 8, 16, 20]);
});
