/** The board on which ranks help each other: nobody works on what is not open, and what is broken is known to be. */
import { HelpBoard, helpWords } from '@lockstep/worker/rank/help-board.ts';
import test from 'ava';
import { type HelpWork, largestUnits } from '../../helpers/help-thread-work.ts';
import { liveAndDie } from '../../helpers/mortal-threads.ts';

function boards(seats: number, cores = 8): HelpBoard[] {
  const words = new SharedArrayBuffer(4 * helpWords(seats));
  return Array.from({ length: seats }, (_, seat) => new HelpBoard(words, seats, seat, cores));
}

test('two ranks share the units of a run, in order; then there is nothing to see', (t) => {
  const [a, b] = boards(2) as [HelpBoard, HelpBoard];
  t.is(a.wanted(), 0);
  t.is(b.look(), null);
  b.volunteer();
  t.is(a.wanted(), 1);
  const led = a.open(4, 16);
  // Nobody helps himself.
  t.is(a.look(), null);
  const seen = b.look();
  t.deepEqual(seen, led);
  t.like(seen, { desk: 0, run: 4, images: 16 });
  if (seen === null) return;
  b.enter(seen);
  t.is(a.wanted(), 1);
  t.deepEqual([a.takeUnit(led, 3), b.takeUnit(seen, 3), a.takeUnit(led, 3)], [0, 1, 2]);
  t.is(b.look(), null);
  t.deepEqual([a.takeUnit(led, 3), b.takeUnit(seen, 3)], [null, null]);
  a.count(led, 5);
  t.true(b.awaitTurn(seen, { counter: 5, count: 1 }));
  for (const one of [a, a, b]) one.finishUnit(led);
  t.true(a.awaitFinished(led, 3));
  b.volunteer();
  t.is(a.wanted(), 1);
  b.withdraw();
  t.is(a.wanted(), 0);
});

test('of an opening that is over nothing can be taken, also when the same run is open again', (t) => {
  const [a, b] = boards(2) as [HelpBoard, HelpBoard];
  b.volunteer();
  a.open(4, 16);
  const seen = b.look();
  if (seen === null) return t.fail();
  const again = a.open(4, 16);
  t.is(b.takeUnit(seen, 3), null);
  t.not(again.opening, seen.opening);
  t.is(a.takeUnit(again, 3), 0);
  t.deepEqual(b.look(), again);
  // Counters begin anew.
  a.count(again, 0);
  const third = a.open(5, 16);
  b.release();
  t.true(a.awaitTurn(third, { counter: 0, count: 0 }));
});

test('nobody helps where every core has a rank that computes', (t) => {
  const [a, b, c, d] = boards(4, 2) as [HelpBoard, HelpBoard, HelpBoard, HelpBoard];
  a.open(1, 8);
  for (const board of [c, d]) board.volunteer();
  // b computes as well.
  t.is(a.wanted(), 0);
  t.is(c.look(), null);
  b.volunteer();
  t.is(a.wanted(), 1);
  const seen = c.look();
  if (seen === null) return t.fail();
  c.enter(seen);
  t.is(d.look(), null);
  // One more for the leader whom c helps: itself.
  t.is(a.wanted(), 1);
});

test('a helper that is lost breaks the run that it was at, and no other', (t) => {
  const [a, b, c] = boards(3) as [HelpBoard, HelpBoard, HelpBoard];
  const led = a.open(1, 8);
  const other = c.open(2, 8);
  b.enter(led);
  t.is(b.takeUnit(led, 2), 0);
  b.release();
  t.false(a.awaitTurn(led, { counter: 0, count: 1 }));
  t.false(a.awaitFinished(led, 2));
  c.volunteer();
  t.is(c.look(), null);
  c.finishUnit(other);
  t.true(c.awaitFinished(other, 1));
  a.clear();
  const fresh = a.open(1, 8);
  t.is(a.takeUnit(fresh, 1), 0);
  a.finishUnit(fresh);
  t.true(a.awaitFinished(fresh, 1));
});

test('a leader that is lost takes nobody with it; whoever sits there next waits for those that are still at it', (t) => {
  const [a, b] = boards(2) as [HelpBoard, HelpBoard];
  const led = a.open(1, 8);
  b.enter(led);
  t.is(b.takeUnit(led, 2), 0);
  a.release();
  t.false(b.awaitTurn(led, { counter: 0, count: 1 }));
  b.volunteer();
  t.is(b.look(), null);
  b.enter(led);
  const { wait } = Atomics;
  let slept = 0;
  Atomics.wait = (() => {
    slept += 1;
    if (slept === 3) b.withdraw();
    return 'timed-out';
  }) as typeof wait;
  try {
    a.clear();
  } finally {
    Atomics.wait = wait;
  }
  t.is(slept, 3);
  t.is(b.takeUnit(led, 2), null);
});

/** Does something else in front of the n-th time that `run` looks at the board or writes on it. */
function interrupted<T>(n: number, other: () => void, run: () => T): T {
  const { load, store, compareExchange } = Atomics;
  let at = 0;
  const counted = (access: (...values: never[]) => number) =>
    ((...values: never[]) => {
      at += 1;
      if (at === n) other();
      return access(...values);
    }) as never;
  Object.assign(Atomics, {
    load: counted(load),
    store: counted(store),
    compareExchange: counted(compareExchange),
  });
  try {
    return run();
  } finally {
    Object.assign(Atomics, { load, store, compareExchange });
  }
}

test('whoever is interrupted by another opening takes a unit of the one it has seen, or none', (t) => {
  const outcomes = new Set<string>();
  for (let n = 1; n < 16; n++) {
    const [a, b] = boards(2) as [HelpBoard, HelpBoard];
    b.volunteer();
    a.open(1, 8);
    const found = interrupted(
      n,
      () => void a.open(2, 5),
      () => {
        const seen = b.look();
        if (seen === null) return null;
        b.enter(seen);
        return { seen, unit: b.takeUnit(seen, 2) };
      },
    );
    if (found !== null && found.unit !== null) {
      const { run, images } = found.seen;
      t.true((run === 1 && images === 8) || (run === 2 && images === 5), `interrupted at ${n}`);
      outcomes.add(`run ${run}`);
    } else outcomes.add('none');
  }
  t.deepEqual([...outcomes].toSorted(), ['none', 'run 1', 'run 2']);
});

const seats = 3;

/** Threads that lead and help at random; whoever ends early is released and replaced. */
async function help(seed: number, rounds: number, mortality: number) {
  const words = new SharedArrayBuffer(4 * helpWords(seats));
  const numbers = new SharedArrayBuffer(4 * seats * (largestUnits + 1));
  const totals = new SharedArrayBuffer(12);
  const common = { words, numbers, totals, seats, rounds, mortality };
  const lost = await liveAndDie<HelpWork>({
    entry: new URL('../../helpers/help-thread.ts', import.meta.url),
    seats,
    workOf: (seat, generation) => ({ ...common, seat, seed: seed + 1000 * generation }),
    release: (seat) => new HelpBoard(words, seats, seat).release(),
  });
  const [wrong, broken, shared] = new Int32Array(totals) as unknown as [number, number, number];
  return { lost, wrong, broken, shared };
}

test('threads that lead and help at random: every run comes to what one rank gets', async (t) => {
  t.timeout(120_000);
  const { wrong, broken, shared } = await help(1, 20_000, 0);
  t.deepEqual({ wrong, broken }, { wrong: 0, broken: 0 });
  t.true(shared > 100, `${shared} times`);
});

test('also when threads end wherever they are', async (t) => {
  t.timeout(120_000);
  const { wrong, lost, broken } = await help(2, 1500, 0.0002);
  t.is(wrong, 0);
  t.true(lost > 2 && broken > 0, `${lost} lost, ${broken} broken`);
  t.log(`${lost} threads were lost, ${broken} runs broken`);
});
