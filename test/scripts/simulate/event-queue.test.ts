/** Simulated time, processors, threads and links against cases computed by hand. */
import { EventQueue } from '@lockstep/scripts/src/simulate/event-queue.ts';
import { Link, Processor, Thread, ThreadPool } from '@lockstep/scripts/src/simulate/machines.ts';
import test from 'ava';
import { assertProperty } from '../../helpers/property.ts';
import fc from 'fast-check';

/** Numbers that differ only in rounding. */
function close(found: number, expected: number): boolean {
  return Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected));
}

test('events happen in the order of time, then of planning', (t) => {
  assertProperty(
    fc.property(fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 60 }), (times) => {
      const queue = new EventQueue();
      const happened: { time: number; i: number }[] = [];
      for (const [i, time] of times.entries()) queue.after(time, () => happened.push({ time: queue.now, i }));
      queue.run();
      const expected = times.map((time, i) => ({ time, i })).toSorted((a, b) => a.time - b.time || a.i - b.i);
      return JSON.stringify(happened) === JSON.stringify(expected);
    }),
  );
  t.throws(() => new EventQueue().after(-1, () => undefined), { instanceOf: RangeError });
  t.throws(() => new EventQueue().after(Number.NaN, () => undefined), { instanceOf: RangeError });
});

test('threads share cores evenly', (t) => {
  // Two cores, three tasks of 1, 2 and 3 s: at 2/3 of a core each the first ends at 1.5 s; then both have a core.
  const queue = new EventQueue();
  const processor = new Processor(queue, 2);
  const ends: number[] = [];
  for (const seconds of [1, 2, 3]) processor.work(seconds, () => ends.push(queue.now));
  queue.run();
  t.true(close(ends[0] ?? 0, 1.5) && close(ends[1] ?? 0, 2.5) && close(ends[2] ?? 0, 3.5), String(ends));
});

test('a task that comes later slows the others from then on', (t) => {
  // One core: 2 s of work alone for 1 s, then halved: 1 s left takes 2 s, until 3. The late one has 0.5 s left then.
  const queue = new EventQueue();
  const processor = new Processor(queue, 1);
  const ends: number[] = [];
  processor.work(2, () => ends.push(queue.now));
  queue.after(1, () => processor.work(1.5, () => ends.push(queue.now)));
  queue.run();
  t.true(close(ends[0] ?? 0, 3) && close(ends[1] ?? 0, 3.5), String(ends));
});

test('a thread does one thing at a time, free work at once', (t) => {
  const queue = new EventQueue();
  const thread = new Thread(new Processor(queue, 4));
  const ends: string[] = [];
  for (const [name, seconds] of [
    ['a', 1],
    ['b', 0],
    ['c', 2],
  ] as const) {
    thread.do(seconds, () => ends.push(`${name} ${queue.now}`));
  }
  queue.run();
  t.deepEqual(ends, ['a 1', 'b 1', 'c 3']);
});

test('whichever thread of a pool is free has the next task', (t) => {
  const queue = new EventQueue();
  const pool = new ThreadPool(new Processor(queue, 4), 2);
  const ends: string[] = [];
  for (const [i, seconds] of [3, 1, 1, 0, 2].entries()) {
    pool.do(seconds, () => ends.push(`${i} ${queue.now}`));
  }
  queue.run();
  t.deepEqual(ends, ['1 1', '2 2', '3 2', '0 3', '4 4']);
});

test('others take their part of the cores, and neighbours slow each other down', (t) => {
  // Three threads on two cores: two thirds of a core for one second of work.
  const queue = new EventQueue();
  const busy = new Processor(queue, 2, { others: 2, crowding: 1, switching: 1 });
  const ends: number[] = [];
  busy.work(1, () => ends.push(queue.now));
  queue.run();
  t.true(close(ends[0] ?? 0, 1.5));
  t.true(close(busy.busySeconds, 1));
  // Alone 1 s; two at a time half as long again, and so is their processor time.
  const again = new EventQueue();
  const crowded = new Processor(again, 2, { others: 0, crowding: 1.5, switching: 1 });
  crowded.work(1, () => {
    crowded.work(1, () => ends.push(again.now));
    crowded.work(1, () => undefined);
  });
  again.run();
  t.true(close(ends[1] ?? 0, 2.5));
  t.true(close(crowded.busySeconds, 4));
  // Two that take turns on one core: twice as long for that, and a fifth more for the turns.
  const third = new EventQueue();
  const turns = new Processor(third, 1, { others: 0, crowding: 1, switching: 1.2 });
  for (let i = 0; i < 2; i++) turns.work(1, () => ends.push(third.now));
  third.run();
  t.true(close(ends[2] ?? 0, 2.4) && close(ends[3] ?? 0, 2.4));
  t.true(close(turns.busySeconds, 2.4));
});

test('work never gets lost or faster than the cores allow', (t) => {
  t.plan(0);
  assertProperty(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 1, max: 20 })), {
        minLength: 1,
        maxLength: 12,
      }),
      (cores, tasks) => {
        const queue = new EventQueue();
        const processor = new Processor(queue, cores);
        let ended = 0;
        for (const [at, seconds] of tasks) queue.after(at, () => processor.work(seconds, () => ended++));
        const end = queue.run();
        const total = tasks.reduce((sum, [, seconds]) => sum + seconds, 0);
        const first = Math.min(...tasks.map(([at]) => at));
        const longest = Math.max(...tasks.map(([at, seconds]) => at + seconds));
        return ended === tasks.length && end >= first + total / cores - 1e-9 && end >= longest - 1e-9;
      },
    ),
  );
});

test('frames leave a link one behind the other and arrive after the way', (t) => {
  // 100 bytes at 50 a second and 0.25 s of way: 2.25; the next 50 bytes leave at 3.
  const queue = new EventQueue();
  const link = new Link(queue, 50, 0.25);
  const arrivals: number[] = [];
  link.send(100, () => arrivals.push(queue.now));
  link.send(50, () => arrivals.push(queue.now));
  queue.after(10, () => link.send(50, () => arrivals.push(queue.now)));
  queue.run();
  t.deepEqual(arrivals, [2.25, 3.25, 11.25]);
});
