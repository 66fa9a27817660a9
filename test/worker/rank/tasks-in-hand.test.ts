/** One task in hand for each rank, except where it would lie in the wrong hand. */
import { mayGive, tasksPerRank } from '@lockstep/worker/rank/tasks-in-hand.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

interface Tally {
  /** When each rank is done with all that it was given. */
  readonly ends: readonly number[];
  /** Times that a rank began a task which was not in its hand yet. */
  readonly asked: number;
}

/** Ranks of some speeds work off equal tasks; a free one takes what is in its hand first. */
function simulate(tasks: number, times: readonly number[], give: typeof mayGive): Tally {
  const ranks = times.map((time) => ({ time, load: 0, busyUntil: 0 }));
  let [waiting, now, asked] = [tasks, 0, 0];
  for (;;) {
    while (
      waiting > 0 &&
      give(
        waiting,
        ranks.reduce((sum, { load }) => sum + load, 0),
        ranks.length,
      )
    ) {
      const rank = ranks.reduce((least, one) => (one.load < least.load ? one : least));
      if (rank.load === 0) {
        rank.busyUntil = now + rank.time;
        asked += 1;
      }
      rank.load += 1;
      waiting -= 1;
    }
    const busy = ranks.filter(({ load }) => load > 0).toSorted((a, b) => a.busyUntil - b.busyUntil);
    const next = busy[0];
    if (next === undefined) return { ends: ranks.map(({ busyUntil }) => busyUntil), asked };
    now = next.busyUntil;
    next.load -= 1;
    if (next.load > 0) next.busyUntil = now + next.time;
  }
}

const onlyIdle: typeof mayGive = (_, given, ranks) => given < ranks;

test('ranks of one speed ask for little more than their first task, and end together', (t) => {
  for (const ranks of [1, 2, 3, 4]) {
    const times = Array.from({ length: ranks }, () => 1);
    const { ends, asked } = simulate(4 * ranks, times, mayGive);
    t.deepEqual(
      ends,
      times.map(() => 4),
    );
    t.true(asked < 2 * ranks + 1 && asked < simulate(4 * ranks, times, onlyIdle).asked, `${asked} asked`);
  }
});

test('whatever the speeds, nobody has more than two, and the step is hardly longer than with free hands', (t) => {
  const speeds = fc.array(fc.double({ min: 1, max: 3, noNaN: true }), { minLength: 1, maxLength: 6 });
  assertProperty(
    fc.property(speeds, fc.integer({ min: 1, max: 40 }), (times, tasks) => {
      const end = (give: typeof mayGive): number => Math.max(...simulate(tasks, times, give).ends);
      // One task of the slowest more, at most.
      return end(mayGive) <= end(onlyIdle) + Math.max(...times) + 1e-9;
    }),
  );
  t.false(mayGive(100, tasksPerRank * 3, 3));
  t.true(mayGive(100, tasksPerRank * 3 - 1, 3));
});
