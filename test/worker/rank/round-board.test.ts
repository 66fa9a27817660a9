/** The board of a round: every shard is somebody's, whoever is lost; the update goes on as the gradient comes. */
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { RoundBoard, roundWordCount, updateUnits } from '@lockstep/worker/rank/round-board.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

/** A board with room for so much, in memory that holds something else. */
function makeBoard(shards: number, samples: number): RoundBoard {
  const arena = Arena.allocate(4 * roundWordCount(shards, samples) + 64);
  arena.integers.fill(-7);
  return new RoundBoard(arena, { round: 64, roundWords: roundWordCount(shards, samples) });
}

/** Shards with samples of their own: shard 3 has 300, 301, ... */
function shardsOf(sizes: readonly number[]) {
  return sizes.map((size, shard) => ({
    shard,
    samples: Array.from({ length: size }, (_, i) => 100 * shard + i),
  }));
}

test('shards are taken in order, each once, with their samples, also empty ones', (t) => {
  const board = makeBoard(4, 5);
  const shards = shardsOf([2, 0, 3, 0]);
  for (let round = 0; round < 2; round++) {
    board.open(shards);
    t.deepEqual(board.shards(), [0, 1, 2, 3]);
    const taken = shards.map((_, i) => board.takeShard(i % 2));
    t.deepEqual(
      taken.map((one) => one && { shard: one.shard, samples: one.samples }),
      shards,
    );
    t.is(board.takeShard(0), null);
    t.false(board.hasShard);
  }
});

test('a round of some shards: those that are given, whatever their numbers', (t) => {
  const board = makeBoard(8, 16);
  const some = shardsOf([1, 2, 3, 4, 5]).filter(({ shard }) => shard % 2 === 1);
  board.open(some);
  t.deepEqual(board.shards(), [1, 3]);
  t.deepEqual(board.takeShard(5)?.samples, [100, 101]);
  t.deepEqual(board.takeShard(5)?.samples, [300, 301, 302, 303]);
  t.is(board.takeShard(5), null);
});

test('what a lost rank had is free again, done or not; the one it was at is named', (t) => {
  const board = makeBoard(5, 5);
  board.open(shardsOf([1, 1, 1, 1, 1]));
  const first = board.takeShard(0);
  board.takeShard(1);
  if (first !== null) board.finish(first, 0);
  t.deepEqual(board.heldBy(0), { at: null, shards: [0] });
  board.takeShard(0);
  t.deepEqual(board.heldBy(0), { at: 2, shards: [0, 2] });
  t.deepEqual(board.heldBy(1), { at: 1, shards: [1] });
  t.deepEqual(board.heldBy(2), { at: null, shards: [] });
  board.release(0);
  t.deepEqual(board.heldBy(0), { at: null, shards: [] });
  t.deepEqual(
    [0, 0, 0, 0].map(() => board.takeShard(2)?.shard),
    [0, 2, 3, 4],
  );
  t.deepEqual(board.heldBy(1), { at: 1, shards: [1] });
});

test('ranks that come, are lost and come again: in the end each shard was reported by one of them', (t) => {
  const acts = fc.array(fc.record({ seat: fc.nat(3), act: fc.constantFrom('take', 'finish', 'lose') }), {
    maxLength: 80,
  });
  assertProperty(
    fc.property(fc.array(fc.nat(4), { minLength: 1, maxLength: 9 }), acts, (sizes, script) => {
      const samples = sizes.reduce((sum, size) => sum + size, 0);
      const board = makeBoard(sizes.length, samples);
      const shards = shardsOf(sizes);
      board.open(shards);
      /** What each seat is at, and what it will report. */
      const at = new Map<number, NonNullable<ReturnType<RoundBoard['takeShard']>>>();
      const reports = new Map<number, number[]>();
      const play = (seat: number, act: string): void => {
        const taken = at.get(seat);
        if (act === 'lose') {
          board.release(seat);
          at.delete(seat);
          reports.delete(seat);
        } else if (taken !== undefined) {
          board.finish(taken, seat);
          reports.set(seat, [...(reports.get(seat) ?? []), taken.shard]);
          at.delete(seat);
        } else if (act === 'take') {
          const next = board.takeShard(seat);
          if (next !== null) at.set(seat, next);
        }
      };
      for (const { seat, act } of script) play(seat, act);
      for (const seat of [0, 1, 2, 3]) play(seat, 'finish');
      while (board.hasShard) for (const act of ['take', 'finish']) play(0, act);
      const all = [...reports.values()].flat().toSorted((a, b) => a - b);
      return JSON.stringify(all) === JSON.stringify(shards.map(({ shard }) => shard));
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
  const units = updateUnits(parts);
  t.true(units.every(({ from, to }) => to > from && to - from <= 2 ** 18));
  for (const [part, { from, to }] of parts.entries()) {
    const own = units.filter((unit) => unit.part === part);
    t.is(own[0]?.from, from);
    t.is(own.at(-1)?.to, to);
    t.true(own.every((unit, i) => i === 0 || unit.from === own[i - 1]?.to));
  }
  t.deepEqual(
    units.map(({ part }) => part),
    units.map(({ part }) => part).toSorted((a, b) => a - b),
  );
});

test('a unit is taken once, in order, and not before its part is there', (t) => {
  const board = makeBoard(1, 1);
  board.open(shardsOf([1]));
  const units = [0, 0, 1].map((part, i) => ({ part, from: i, to: i + 1 }));
  const known = { parts: 0 };
  const take = (): number => board.takeUnit(units, (part) => part < known.parts);
  t.is(take(), -1);
  known.parts = 1;
  t.deepEqual([take(), take(), take()], [0, 1, -1]);
  t.is(board.unitsTaken, 2);
  known.parts = 2;
  t.deepEqual([take(), take()], [2, -1]);
  t.is(board.unitsTaken, units.length);
  board.open(shardsOf([1]));
  t.is(board.unitsTaken, 0);
});
