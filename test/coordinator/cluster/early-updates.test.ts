import { EarlyUpdates } from '@lockstep/coordinator/cluster/early-updates.ts';
import { uncovered } from '@lockstep/coordinator/plan/assignment.ts';
import type { SliceReport, SliceTask } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const blocks = [
  { from: 60, to: 100 },
  { from: 20, to: 60 },
  { from: 0, to: 20 },
];

function started() {
  const begun: SliceTask[] = [];
  const updated: number[] = [];
  const ends: ((report: SliceReport) => void)[] = [];
  const early = new EarlyUpdates({
    shards: 8,
    blocks,
    updateOf: ({ from, to }, covers) => ({
      ...({ kind: 'slice', side: 0, update: 1, learningRate: 0.1, samples: 16 } as const),
      from,
      to,
      ...(covers === null ? {} : { covers }),
    }),
    run: (task) => {
      begun.push(task);
      return new Promise((resolve) => ends.push(resolve));
    },
    onUpdated: ({ from }) => updated.push(from),
  });
  const finishAll = (): void => {
    for (const end of ends.splice(0)) end({ kind: 'slice', notFinite: 0 });
  };
  return { early, begun, updated, finishAll };
}

const left = { from: 0, width: 4, slot: 8 };
const right = { from: 4, width: 4, slot: 9 };
const [last, middle, first] = blocks as [(typeof blocks)[0], (typeof blocks)[0], (typeof blocks)[0]];

test('a block is updated when it has come from all shards, once, and the rest is left', async (t) => {
  const { early, begun, updated, finishAll } = started();
  early.arrived(last, right);
  t.is(begun.length, 0);
  early.arrived(last, left);
  early.arrived(last, left);
  t.is(begun.length, 1);
  t.deepEqual(begun[0]?.covers, [left, right]);
  early.arrived({ from: 0, to: 19 }, left);
  early.arrived({ from: 0, to: 19 }, right);
  t.is(begun.length, 1, 'pieces that are no block wait');
  const whole: SliceTask = { ...(begun[0] as SliceTask), from: 0, to: 100 };
  const settled = early.settle([whole]);
  early.arrived(first, left);
  early.arrived(first, right);
  t.is(begun.length, 1, 'nothing begins after the end');
  finishAll();
  const { reports, left: rest } = await settled;
  t.is(reports.length, 1);
  t.deepEqual(updated, [60]);
  t.deepEqual(
    rest.map(({ from, to }) => [from, to]),
    [[0, 60]],
  );
});

test('sums that overlap do not count twice, and what is forgotten may come again', (t) => {
  const { early, begun } = started();
  early.arrived(middle, left);
  early.arrived(middle, { from: 0, width: 2, slot: 10 });
  early.arrived(middle, { from: 4, width: 2, slot: 11 });
  t.is(begun.length, 0);
  t.false(early.forget(8));
  early.arrived(middle, { from: 0, width: 2, slot: 10 });
  early.arrived(middle, { from: 2, width: 2, slot: 12 });
  t.is(begun.length, 0);
  early.arrived(middle, { from: 6, width: 2, slot: 13 });
  t.deepEqual(
    begun[0]?.covers?.map(({ slot }) => slot),
    [10, 12, 11, 13],
  );
  t.true(early.forget(11), 'it may still be read');
  t.false(early.forget(8));
});

test('a whole sum counts for every block, but not twice for those that came in pieces', (t) => {
  const { early, begun } = started();
  early.arrived(last, right);
  early.arrivedWhole(left);
  t.deepEqual(
    begun.map(({ from, covers }) => [from, covers]),
    [[last.from, [left, right]]],
  );
  early.arrived(middle, right);
  early.arrivedWhole(right);
  t.deepEqual(
    begun.map(({ from }) => from),
    [last.from, middle.from, first.from],
  );
});

test('a range less others is what none of them holds', (t) => {
  const ends = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 0, maxLength: 12 });
  assertProperty(
    fc.property(
      ends,
      fc.integer({ min: 0, max: 30 }),
      fc.integer({ min: 0, max: 30 }),
      (list, from, size) => {
        const sorted = list.toSorted((a, b) => a - b);
        const others = sorted.flatMap((at, i) =>
          i % 2 === 1 ? [{ from: sorted[i - 1] as number, to: at }] : [],
        );
        const range = { from, to: from + size };
        const rest = uncovered(range, others.toReversed());
        for (let at = 0; at < 70; at++) {
          const inside = (slice: { from: number; to: number }): boolean => at >= slice.from && at < slice.to;
          if (rest.filter(inside).length !== (inside(range) && !others.some(inside) ? 1 : 0)) return false;
        }
        return rest.every((slice) => slice.to > slice.from);
      },
    ),
    500,
  );
  t.pass();
});
