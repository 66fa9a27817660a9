/** Slices partition the gradient; a lost task is given out again, but not for ever. */
import { attemptLimit, cutSlices, decideRetry } from '@lockstep/coordinator/plan/assignment.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

test('slices cover every float once, none is empty, all but the last end on whole chunks', (t) => {
  const positive = (max: number) => fc.integer({ min: 1, max });
  assertProperty(
    fc.property(positive(100_000), positive(64), positive(4096), (length, ranks, grain) => {
      const slices = cutSlices(length, ranks, grain);
      let top = 0;
      for (const { from, to } of slices) {
        if (from !== top || to <= from) return false;
        if (to !== length && to % grain !== 0) return false;
        top = to;
      }
      const chunks = slices.map(({ from, to }) => Math.ceil((to - from) / grain));
      const even = Math.max(...chunks) - Math.min(...chunks) <= 1;
      return top === length && even && slices.length === Math.min(ranks, Math.ceil(length / grain));
    }),
    500,
  );
  t.pass();
});

test('a lost task goes to another rank until the limit, and the reason says why', (t) => {
  for (let attempts = 1; attempts < attemptLimit; attempts++) {
    const { again, reason } = decideRetry('shard 3', attempts, 'the thread has ended');
    t.true(again);
    t.is(reason, 'shard 3 was lost (the thread has ended); another rank computes it');
  }
  const last = decideRetry('shard 3', attemptLimit, 'the thread has ended');
  t.false(last.again);
  t.is(last.reason, `shard 3 was lost ${attemptLimit} times, at last: the thread has ended`);
  t.false(decideRetry('a slice', attemptLimit + 1, 'x').again);
});
