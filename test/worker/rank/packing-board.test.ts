/** The board of a hall: what is packed together stays as long as somebody reads it, whoever is lost. */
import { type PackedWeights, PackingBoard, packingWords } from '@lockstep/worker/rank/packing-board.ts';
import test from 'ava';
import { liveAndDie } from '../../helpers/mortal-threads.ts';
import type { PackingWork } from '../../helpers/packing-thread.ts';

const weights = (step: number, more: Partial<PackedWeights> = {}): PackedWeights => ({
  ...({ step, publication: 1, side: 0, mode: 'train' } as const),
  ...more,
});

function boards(seats: number, units: number): PackingBoard[] {
  const words = new SharedArrayBuffer(4 * packingWords(seats, units));
  return Array.from({ length: seats }, (_, seat) => new PackingBoard(words, seats, seat));
}

test('two ranks share the units of one step; the next step finds what it has to pack', (t) => {
  const [a, b] = boards(2, 3) as [PackingBoard, PackingBoard];
  for (const step of [-2, 0, 1]) {
    t.false(a.holdPacked(weights(step)));
    t.false(a.hold(weights(step), 3));
    t.false(b.hold(weights(step), 3));
    t.deepEqual([a.takeUnit(), b.takeUnit(), a.takeUnit(), b.takeUnit()], [0, 1, 2, null]);
    for (const unit of [2, 1, 0]) {
      t.false(a.isPacked());
      a.finishUnit(unit);
    }
    t.true(b.isPacked());
    a.awaitPacked();
    a.letGo();
    // It is still there for another shard.
    t.true(a.holdPacked(weights(step)));
    t.is(a.takeUnit(), null);
    a.letGo();
    b.letGo();
  }
});

test('other weights are those of another step, publication, side or mode', (t) => {
  const [a] = boards(1, 2) as [PackingBoard];
  const all = [weights(5), weights(6), weights(6, { publication: 2 }), weights(6, { side: 1 })];
  for (const one of [...all, weights(6, { side: 1, mode: 'evaluate' })]) {
    t.false(a.holdPacked(one));
    a.hold(one, 2);
    t.deepEqual([a.takeUnit(), a.takeUnit(), a.takeUnit()], [0, 1, null]);
    a.finishUnit(0);
    a.finishUnit(1);
    a.letGo();
    t.true(a.holdPacked(one));
    a.letGo();
  }
  // Fewer units than there is room for: none of the others is waited for.
  a.hold(weights(9), 1);
  t.is(a.takeUnit(), 0);
  a.finishUnit(0);
  t.true(a.isPacked());
  t.throws(() => a.hold(weights(10), 3), { instanceOf: RangeError });
});

test('who is lost leaves its units to others, and holds nothing any more', (t) => {
  const [a, b] = boards(2, 2) as [PackingBoard, PackingBoard];
  a.hold(weights(1), 2);
  b.hold(weights(1), 2);
  t.is(b.takeUnit(), 0);
  t.is(a.takeUnit(), 1);
  a.finishUnit(1);
  t.is(a.takeUnit(), null);
  b.release();
  // Does not sleep: there is something to take.
  a.awaitPacked();
  t.false(a.isPacked());
  t.is(a.takeUnit(), 0);
  a.finishUnit(0);
  t.true(a.isPacked());
  a.letGo();
  // Would wait for ever if b still held.
  t.false(a.hold(weights(2), 2));
});

/** Does something else in front of the n-th time that `run` looks at the board or writes on it, while it has not written. */
function interrupted<T>(n: number, other: () => void, run: () => T): T {
  const { load, store } = Atomics;
  let [at, wrote] = [0, false];
  const interrupt = (): void => {
    at += 1;
    if (at === n && !wrote) other();
  };
  Atomics.load = ((words: Int32Array, index: number) => {
    interrupt();
    return load(words, index);
  }) as typeof load;
  Atomics.store = ((words: Int32Array, index: number, value: number) => {
    interrupt();
    wrote = true;
    return store(words, index, value);
  }) as typeof store;
  try {
    return run();
  } finally {
    Object.assign(Atomics, { load, store });
  }
}

test('whoever is interrupted before it holds has these weights afterwards, or knows that it has not', (t) => {
  const outcomes = new Set<boolean>();
  for (let n = 1; n < 9; n++) {
    const [a, b] = boards(2, 1) as [PackingBoard, PackingBoard];
    const packAlone = (board: PackingBoard, what: PackedWeights): void => {
      board.hold(what, 1);
      board.finishUnit(board.takeUnit() as number);
      board.letGo();
    };
    packAlone(a, weights(1));
    // Later it would have to wait for `a`.
    const has = interrupted(
      n,
      () => packAlone(b, weights(2)),
      () => a.holdPacked(weights(1)),
    );
    outcomes.add(has);
    t.is(b.holdPacked(weights(1)), has, `interrupted at ${n}`);
  }
  t.is(outcomes.size, 2);
});

/** Ends `run` in front of the n-th time that it writes on the board. */
function endedAt(n: number, run: () => void): void {
  const { store, add, compareExchange } = Atomics;
  let writes = 0;
  const counted = (write: (...values: never[]) => number) =>
    ((...values: never[]) => {
      writes += 1;
      if (writes === n) throw new Error('the thread ends');
      return write(...values);
    }) as never;
  Object.assign(Atomics, {
    store: counted(store),
    add: counted(add),
    compareExchange: counted(compareExchange),
  });
  try {
    run();
  } catch {
    // As a thread that is lost: it says nothing.
  } finally {
    Object.assign(Atomics, { store, add, compareExchange });
  }
}

test('a thread that ends at any write of the first opening leaves a board on which others hold', (t) => {
  const { wait } = Atomics;
  for (let n = 1; n < 12; n++) {
    const [a, b, c] = boards(3, 1) as [PackingBoard, PackingBoard, PackingBoard];
    endedAt(n, () => a.hold(weights(1), 1));
    a.release();
    b.hold(weights(1), 1);
    b.packAll(() => {});
    // Whoever wants others sleeps until `b` lets go.
    let slept = false;
    Atomics.wait = (() => {
      slept = true;
      b.letGo();
      return 'ok';
    }) as typeof wait;
    try {
      c.hold(weights(2), 1);
    } finally {
      Atomics.wait = wait;
    }
    t.true(slept, `ended at write ${n}`);
    t.is(c.takeUnit(), 0);
  }
});

const seats = 3;
const units = 9;

/** Threads that ask for weights at random; whoever ends early is released and replaced. */
async function pack(seed: number, rounds: number, mortality: number) {
  const words = new SharedArrayBuffer(4 * packingWords(seats, units));
  const packed = new SharedArrayBuffer(4 * units);
  const common = { words, packed, seats, rounds, versions: 3, mortality };
  let [wrong, taken] = [0, 0];
  const lost = await liveAndDie<PackingWork>({
    entry: new URL('../../helpers/packing-thread.ts', import.meta.url),
    seats,
    workOf: (seat, generation) => ({ ...common, seat, seed: seed + 1000 * generation }),
    release: (seat) => new PackingBoard(words, seats, seat).release(),
    onThrough: (message) => {
      const report = message as { readonly wrong: number; readonly units: number };
      wrong += report.wrong;
      taken += report.units;
    },
  });
  return { lost, wrong, taken };
}

test('threads that ask for weights at random never see others while they hold them', async (t) => {
  t.timeout(120_000);
  const { wrong, taken } = await pack(1, 4000, 0);
  t.is(wrong, 0);
  t.true(taken > units, `${taken} units`);
});

test('nor when threads end wherever they are', async (t) => {
  t.timeout(120_000);
  const { wrong, lost } = await pack(2, 60, 0.002);
  t.is(wrong, 0);
  t.true(lost > 0);
  t.log(`${lost} threads were lost`);
});
