/** The board of a round: every shard is somebody's, whoever is lost; the update goes on as the gradient comes. */
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { RoundBoard, roundWordCount } from '@lockstep/worker/rank/round-board.ts';
import { type RoundOrder, updateUnits } from '@lockstep/worker/rank/round-order.ts';
import type { ShardReport } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

/** Units of all boards here: two of part 0, one of part 1. */
const units = [0, 0, 1].map((part, i) => ({ part, from: i, to: i + 1 }));
const update = { update: 7, learningRate: 0.1, samples: 12 };

/** Both boards with room for so much, in memory that holds something else. */
function makeBoards(shards: number, samples: number): [RoundBoard, RoundBoard] {
  const roundWords = 2 * Math.ceil(roundWordCount(shards, units.length, samples) / 2);
  const arena = Arena.allocate(8 * roundWords + 64);
  arena.integers.fill(-7);
  const place = { round: [64, 64 + 4 * roundWords], roundWords } as const;
  return [new RoundBoard(arena, place, 0), new RoundBoard(arena, place, 1)];
}

/** Shards with samples of their own: shard 3 has 300, 301, ... */
function shardsOf(sizes: readonly number[]) {
  return sizes.map((size, shard) => ({
    shard,
    samples: Array.from({ length: size }, (_, i) => 100 * shard + i),
  }));
}

function order(step: number, shards: RoundOrder['shards'], updates = false): RoundOrder {
  return { step, epoch: 3, seats: 4, shards, update: updates ? update : null };
}

function report(shard: number, lossSum = shard + 0.25): ShardReport {
  const times = { loadSeconds: 0.5, computeSeconds: 1 / 3 };
  return { kind: 'shard', shard, samples: -1, lossSum, correct: 2 * shard, ...times };
}

test('shards are taken in order, each once, with their samples, also empty ones', (t) => {
  const [board] = makeBoards(4, 5);
  const shards = shardsOf([2, 0, 3, 0]);
  for (const step of [5, 7]) {
    t.false(board.isOpen(step));
    board.open(order(step, shards), units.length);
    t.true(board.isOpen(step));
    const taken = shards.map((_, i) => board.takeShard(step, i % 2));
    t.deepEqual(
      taken.map((one) => one && { shard: one.shard, samples: one.samples }),
      shards,
    );
    t.is(board.takeShard(step, 0), null);
    t.false(board.hasWork(step, units));
  }
});

test('a round of some shards: those that are given, whatever their numbers', (t) => {
  const [board] = makeBoards(8, 16);
  const some = shardsOf([1, 2, 3, 4, 5]).filter(({ shard }) => shard % 2 === 1);
  board.open(order(0, some), units.length);
  t.deepEqual(board.takeShard(0, 5)?.samples, [100, 101]);
  t.deepEqual(board.takeShard(0, 5)?.samples, [300, 301, 302, 303]);
  t.is(board.takeShard(0, 5), null);
});

test('both boards are open at a time, and say what there is to know', (t) => {
  const [here, there] = makeBoards(2, 9);
  here.close();
  t.is(here.order(), null);
  here.open(order(4, shardsOf([1, 1]), true), units.length);
  there.open({ ...order(5, shardsOf([4, 5])), epoch: 9, seats: 1 }, units.length);
  t.deepEqual(here.order(), { step: 4, epoch: 3, seats: 4, update });
  t.deepEqual(there.order(), { step: 5, epoch: 9, seats: 1, update: null });
  t.deepEqual(there.takeShard(5, 0)?.samples, [0, 1, 2, 3]);
  t.deepEqual(here.takeShard(4, 0)?.samples, [0]);
  there.close();
  t.is(there.order(), null);
  t.is(there.takeShard(5, 0), null);
  t.true(there.isOver(5));
  t.false(here.isOver(4));
});

test('who slept while the board was opened again takes nothing, and sees that its step is over', (t) => {
  const [board] = makeBoards(2, 2);
  board.open(order(4, shardsOf([1, 1]), true), units.length);
  board.open(order(6, shardsOf([1, 1]), true), units.length);
  for (let part = 0; part < 2; part++) {
    t.is(board.takeShard(4, 0), null);
    t.is(board.takeUnit(4, 0, units), null);
  }
  t.false(board.hasWork(4, units));
  t.true(board.isOver(4));
  t.false(board.isOver(6));
  t.is(board.takeShard(6, 0)?.shard, 0);
});

test('what came of a shard is known, and a step is over when shards and units are done', (t) => {
  const [board] = makeBoards(3, 6);
  board.open(order(2, shardsOf([1, 2, 3]), true), units.length);
  const taken = [0, 1, 2].map(() => board.takeShard(2, 1)).filter((one) => one !== null);
  t.is(board.takeUnit(2, 0, units), null);
  for (const one of taken) board.pass(one, 2);
  t.deepEqual(
    [0, 1, 2].map(() => board.takeUnit(2, 0, units)),
    [0, 1, 2],
  );
  t.deepEqual(board.reports(), []);
  const ends = [
    ...taken.slice(0, 2).map((one) => board.finishShard(one, report(one.shard))),
    ...[2, 0, 1].map((unit) => board.finishUnit(unit, 0)),
  ];
  t.deepEqual(ends, [false, false, false, false, false]);
  t.false(board.isOver(2));
  t.deepEqual(
    board.reports(),
    [0, 1].map((shard) => ({ ...report(shard), samples: shard + 1 })),
  );
  t.true(taken[2] && board.finishShard(taken[2], report(2)));
  t.true(board.isOver(2));
  t.is(board.notFinite, 0);
});

test('gradients and losses that are not finite are counted, and forgotten with the next step', (t) => {
  const [board] = makeBoards(2, 2);
  board.open(order(2, shardsOf([1, 1]), true), units.length);
  for (const lossSum of [Number.NaN, 1]) {
    const taken = board.takeShard(2, 0);
    if (taken !== null) board.pass(taken, 9);
    if (taken !== null) board.finishShard(taken, report(taken.shard, lossSum));
  }
  t.is(board.notFinite, 1);
  const unit = board.takeUnit(2, 0, units);
  if (unit !== null) board.finishUnit(unit, 5);
  t.is(board.notFinite, 6);
  board.open(order(4, shardsOf([1, 1]), true), units.length);
  t.is(board.notFinite, 0);
});

test('what a lost rank was at is free again, shard or unit; what it had done stays done', (t) => {
  const [board] = makeBoards(5, 5);
  board.open(order(0, shardsOf([1, 1, 1, 1, 1]), true), units.length);
  const first = board.takeShard(0, 0);
  board.takeShard(0, 1);
  if (first !== null) board.finishShard(first, report(0));
  t.is(board.heldBy(0), null);
  t.is(board.takeShard(0, 0)?.shard, 2);
  t.is(board.heldBy(0), 2);
  t.is(board.heldBy(1), 1);
  t.is(board.heldBy(2), null);
  board.release(0);
  t.is(board.heldBy(0), null);
  const rest = [0, 0, 0].map(() => board.takeShard(0, 2));
  t.deepEqual(
    rest.map((one) => one?.shard),
    [2, 3, 4],
  );
  t.is(board.heldBy(1), 1);
  // The unit of a lost rank.
  for (let entry = 0; entry < 5; entry++) board.pass({ entry, shard: entry, samples: [] }, 1);
  t.is(board.takeUnit(0, 3, units), 0);
  t.is(board.takeUnit(0, 4, units), 1);
  t.is(board.heldBy(3), null);
  board.release(3);
  t.is(board.takeUnit(0, 4, units), 0);
  t.is(board.takeUnit(0, 4, units), null);
});

test('ranks that come, are lost and come again: in the end each shard was done by one of them', (t) => {
  const acts = fc.array(fc.record({ seat: fc.nat(3), act: fc.constantFrom('take', 'finish', 'lose') }), {
    maxLength: 80,
  });
  assertProperty(
    fc.property(fc.array(fc.nat(4), { minLength: 1, maxLength: 9 }), acts, (sizes, script) => {
      const samples = sizes.reduce((sum, size) => sum + size, 0);
      const [board] = makeBoards(sizes.length, samples);
      board.open(order(3, shardsOf(sizes)), units.length);
      /** What each seat is at. */
      const at = new Map<number, NonNullable<ReturnType<RoundBoard['takeShard']>>>();
      let [finished, ends] = [0, 0];
      const play = (seat: number, act: string): void => {
        const taken = at.get(seat);
        if (act === 'lose') {
          if (board.heldBy(seat) !== (taken?.shard ?? null)) throw new Error('held by somebody else');
          board.release(seat);
          at.delete(seat);
        } else if (taken !== undefined) {
          if (board.finishShard(taken, report(taken.shard))) ends += 1;
          finished += 1;
          at.delete(seat);
        } else if (act === 'take') {
          const next = board.takeShard(3, seat);
          if (next !== null) at.set(seat, next);
        }
      };
      for (const { seat, act } of script) play(seat, act);
      for (const seat of [0, 1, 2, 3]) play(seat, 'finish');
      while (!board.isOver(3)) for (const act of ['take', 'finish']) play(0, act);
      const expected = sizes.map((size, shard) => ({ ...report(shard), samples: size }));
      const isRight = JSON.stringify(board.reports()) === JSON.stringify(expected);
      return isRight && finished === sizes.length && ends === 1;
    }),
  );
  t.pass();
});

test('units of the update cover all parts in their order and are no larger than a quarter of a million', (t) => {
  const parts = [
    { from: 700_000, to: 1_000_001 },
    { from: 5, to: 700_000 },
    { from: 0, to: 5 },
  ];
  const cut = updateUnits(parts);
  t.true(cut.every(({ from, to }) => to > from && to - from <= 2 ** 18));
  for (const [part, { from, to }] of parts.entries()) {
    const own = cut.filter((unit) => unit.part === part);
    t.is(own[0]?.from, from);
    t.is(own.at(-1)?.to, to);
    t.true(own.every((unit, i) => i === 0 || unit.from === own[i - 1]?.to));
  }
  t.deepEqual(
    cut.map(({ part }) => part),
    cut.map(({ part }) => part).toSorted((a, b) => a - b),
  );
});

test('a unit is taken once, in order, and not before its part has come from all shards', (t) => {
  const [board] = makeBoards(2, 2);
  board.open(order(1, shardsOf([1, 1]), true), units.length);
  const both = [board.takeShard(1, 0), board.takeShard(1, 1)].filter((one) => one !== null);
  const take = (): number | null => board.takeUnit(1, 0, units);
  const pass = (which: number, count: number): void => board.pass(both[which] as (typeof both)[0], count);
  t.is(take(), null);
  pass(0, 2);
  t.is(take(), null);
  pass(1, 1);
  t.true(board.isThere(0));
  t.false(board.isThere(1));
  t.deepEqual([take(), take(), take()], [0, 1, null]);
  // A shard that is computed again takes nothing back.
  pass(0, 1);
  pass(1, 2);
  t.deepEqual([take(), take()], [2, null]);
});
