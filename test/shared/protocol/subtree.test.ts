import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import { decompose, isSubtree, summationSchedule } from '@lockstep/shared/protocol/subtree.ts';
import { roundFloats } from '@lockstep/shared/protocol/dtype.ts';
import { combineTree, splitWidth } from '@lockstep/shared/reduce/tree.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

/** All subtrees of a tree, by walking it. */
function allSubtrees(from: number, width: number): Subtree[] {
  if (width === 1) return [{ from, width }];
  const left = splitWidth(width);
  return [{ from, width }, ...allSubtrees(from, left), ...allSubtrees(from + left, width - left)];
}

/** A tree, a tiling of it by subtrees in a random order, and a float for each leaf. */
const tiled = fc
  .record({
    leaves: fc.integer({ min: 1, max: 70 }),
    choices: fc.infiniteStream(fc.boolean()),
    seed: fc.nat(),
  })
  .chain(({ leaves, choices }) => {
    const cut = (from: number, width: number): Subtree[] => {
      if (width === 1 || choices.next().value === true) return [{ from, width }];
      const left = splitWidth(width);
      return [...cut(from, left), ...cut(from + left, width - left)];
    };
    const tiles = cut(0, leaves);
    return fc.record({
      leaves: fc.constant(leaves),
      tiles: fc.shuffledSubarray(tiles, { minLength: tiles.length }),
      values: fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), {
        minLength: leaves,
        maxLength: leaves,
      }),
    });
  });

/** What the kernel does with a schedule, on any kind of sum. @param add gets the left one first */
function runSchedule<T>(program: Int32Array, slot: (index: number) => T, add: (left: T, right: T) => T): T {
  const stack: T[] = [];
  for (const step of program) {
    if (step >= 0) stack.push(slot(step));
    else {
      const right = stack.pop() as T;
      stack.push(add(stack.pop() as T, right));
    }
  }
  return stack.pop() as T;
}

const adders = {
  f32: (a: number, b: number): number => Math.fround(a + b),
  bf16: (a: number, b: number): number => {
    const sum = Float32Array.of(a + b);
    roundFloats(sum, 'bf16');
    return sum[0] as number;
  },
};

for (const [name, add] of Object.entries(adders)) {
  test(`any tiling by subtrees gives the bits of the whole tree, summed in ${name}`, (t) => {
    assertProperty(
      fc.property(tiled, ({ leaves, tiles, values }) => {
        const leaf = (index: number): number => add(values[index] as number, 0);
        const partial = tiles.map(({ from, width }) => combineTree(width, (i) => leaf(from + i), add));
        const schedule = summationSchedule(leaves, tiles);
        if (!schedule.ok) return false;
        const sum = runSchedule(schedule.program, (slot) => partial[slot] as number, add);
        return Object.is(sum, combineTree(leaves, leaf, add));
      }),
      500,
    );
    t.pass();
  });
}

test('a schedule needs no more stack than it says, and little', (t) => {
  assertProperty(
    fc.property(tiled, ({ leaves, tiles }) => {
      const schedule = summationSchedule(leaves, tiles);
      if (!schedule.ok) return false;
      let height = 0;
      let highest = 0;
      for (const step of schedule.program) {
        height += step >= 0 ? 1 : -1;
        highest = Math.max(highest, height);
      }
      return height === 1 && highest === schedule.depth && highest <= 2 + Math.log2(leaves);
    }),
  );
  t.pass();
});

test('a tiling with a tile missing, doubled or moved is refused', (t) => {
  assertProperty(
    fc.property(tiled, fc.nat(), ({ leaves, tiles }, pick) => {
      const at = pick % tiles.length;
      const tile = tiles[at] as Subtree;
      return [
        tiles.toSpliced(at, 1),
        [...tiles, tile],
        tiles.with(at, { from: tile.from + 1, width: tile.width }),
        tiles.with(at, { from: tile.from, width: tile.width + 1 }),
        tiles.with(at, { from: tile.from, width: 0 }),
        tiles.with(at, { from: tile.from + 0.5, width: tile.width }),
      ].every((wrong) => !summationSchedule(leaves, wrong).ok);
    }),
    300,
  );
  t.pass();
});

test('a cover inside another one is refused', (t) => {
  const schedule = summationSchedule(8, [
    { from: 0, width: 4 },
    { from: 2, width: 2 },
    { from: 4, width: 4 },
  ]);
  t.deepEqual(schedule, { ok: false, reason: 'the sums hold 10 shards instead of 8' });
  t.false(summationSchedule(0, []).ok);
});

test('subtrees are exactly those of the walk', (t) => {
  for (const leaves of [1, 2, 3, 5, 6, 7, 8, 12, 16, 33]) {
    const real = new Set(allSubtrees(0, leaves).map(({ from, width }) => `${from}+${width}`));
    for (let from = -1; from <= leaves; from++) {
      for (let width = 0; width <= leaves + 1; width++) {
        t.is(
          isSubtree(leaves, { from, width }),
          real.has(`${from}+${width}`),
          `${from}+${width} of ${leaves}`,
        );
      }
    }
  }
});

test('a range decomposes into the fewest subtrees, from left to right', (t) => {
  for (const leaves of [1, 3, 6, 8, 13]) {
    const all = allSubtrees(0, leaves);
    for (let from = 0; from < leaves; from++) {
      // fewest[e]: subtrees that tile [from, e), by dynamic programming.
      const fewest = new Map([[from, 0]]);
      for (let end = from + 1; end <= leaves; end++) {
        const last = all.filter((s) => s.from + s.width === end && fewest.has(s.from));
        if (last.length > 0) fewest.set(end, 1 + Math.min(...last.map((s) => fewest.get(s.from) as number)));
        const found = decompose(leaves, { from, width: end - from });
        t.is(found.length, fewest.get(end) as number);
        t.true(found.every((s) => isSubtree(leaves, s)));
        t.deepEqual(
          found.flatMap((s) => Array.from({ length: s.width }, (_, i) => s.from + i)),
          Array.from({ length: end - from }, (_, i) => from + i),
        );
      }
    }
  }
  t.deepEqual(decompose(8, { from: 3, width: 0 }), []);
  t.throws(() => decompose(8, { from: 7, width: 2 }), { instanceOf: RangeError });
});
