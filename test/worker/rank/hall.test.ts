/** Seats in halls: every rank has one, apart from all others. */
import { largestArenaBytes } from '@lockstep/shared/model/compile.ts';
import { Halls, memoryUse, planHalls } from '@lockstep/worker/rank/hall.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const page = 65536;

test('any space: as few halls as hold all ranks, none beyond what WebAssembly can address', (t) => {
  const pages = fc.integer({ min: 1, max: largestArenaBytes / page / 2 });
  assertProperty(
    fc.property(pages, pages, fc.integer({ min: 1, max: 300 }), (shared, own, ranks) => {
      const space = { sharedBytes: shared * page, ownBytes: own * page, units: 1 };
      const { halls, seats, hallBytes } = planHalls(space, ranks);
      const isEnough = halls * seats >= ranks && (halls - 1) * seats < ranks;
      const most = Math.floor((largestArenaBytes - space.sharedBytes) / space.ownBytes);
      return isEnough && hallBytes <= largestArenaBytes && halls === Math.ceil(ranks / most);
    }),
    500,
  );
  t.pass();
});

test('arenas do not overlap each other, nor what is shared; all of a hall see one board', (t) => {
  // Two of them fit, and nobody touches them.
  const space = { sharedBytes: page, ownBytes: 1.9 * 2 ** 30 - ((1.9 * 2 ** 30) % page), units: 3 };
  const halls = new Halls(space, 5);
  const seats = Array.from({ length: 5 }, (_, index) => halls.seat(index));
  t.deepEqual(
    seats.map(({ seat }) => seat),
    [0, 1, 0, 1, 0],
  );
  t.is(new Set(seats.map(({ memory }) => memory)).size, 3);
  for (const [index, one] of seats.entries()) {
    t.true(one.ownAt >= space.sharedBytes);
    t.true(one.ownAt + one.ownBytes <= one.memory.buffer.byteLength);
    for (const other of seats.slice(index + 1)) {
      t.is(one.memory === other.memory, one.words === other.words);
      if (one.memory === other.memory) t.true(one.ownAt + one.ownBytes <= other.ownAt);
    }
  }
  t.throws(() => halls.seat(6), { instanceOf: RangeError });
});

test('what ranks take: an arena each, packed weights once a hall', (t) => {
  const small = { sharedBytes: 3 * page, ownBytes: 5 * page, units: 1 };
  t.deepEqual(memoryUse(small, 64, 7), { arenaBytes: 5 * page, packedBytes: 3 * page, storeBytes: 7 });
  const large = { ...small, ownBytes: 2 ** 30 };
  t.is(memoryUse(large, 64, 7).packedBytes, 22 * 3 * page);
});

test('a rank that has no room at all: the figure and what to change', (t) => {
  const space = { sharedBytes: page, ownBytes: largestArenaBytes, units: 1 };
  const error = t.throws(() => planHalls(space, 1));
  t.like(error, { code: 'ARENA_TOO_LARGE', values: { bytes: largestArenaBytes + page } });
  t.regex(error?.message ?? '', /4\.00 GiB/);
});
