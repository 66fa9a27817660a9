/** Work of a step that a node is not at: when it turns to it, and that what it then computes is right. */
import { initialise } from '@lockstep/shared/model/initialisation.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { decideTurn, HeldAssignments, type Standing } from '@lockstep/worker/node/held-assignments.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';
import test from 'ava';
import fc from 'fast-check';
import { benchShards, DeskBench, withHost } from '../../helpers/desk-bench.ts';
import { assertProperty } from '../../helpers/property.ts';

const recipe = parseRecipe({
  model: 'resnet8',
  dataset: 'synthetic',
  batchSize: 32,
  shardsPerStep: benchShards,
});

test('a step that can be finished is, one that cannot gives way to an older one', (t) => {
  const at: Standing = { step: 5, isBusy: true, isComputable: true, held: null };
  t.is(decideTurn(at), 'stay');
  t.is(decideTurn({ ...at, held: 6 }), 'stay');
  t.is(decideTurn({ ...at, held: 4 }), 'stay', 'it goes back when it is done');
  t.is(decideTurn({ ...at, held: 4, isComputable: false }), 'turn back');
  t.is(decideTurn({ ...at, held: 6, isComputable: false }), 'stay');
  const standing = fc.record({
    step: fc.nat(9),
    isBusy: fc.constant(false),
    isComputable: fc.boolean(),
    held: fc.nat(9),
  });
  assertProperty(fc.property(standing, (idle) => decideTurn(idle) === 'turn'));
});

test('what is held comes out step by step, the oldest first, in the order in which it came', (t) => {
  const held = new HeldAssignments();
  const hold = (assignment: number, step: number): void =>
    held.hold({ type: 'assign', assignment, step, subtrees: [{ from: 0, width: 1 }] });
  t.is(held.step, null);
  hold(1, 7);
  hold(2, 6);
  hold(3, 7);
  hold(4, 7);
  t.is(held.step, 6);
  t.deepEqual(
    held.take(6).map(({ assignment }) => assignment),
    [2],
  );
  held.drop(3);
  t.deepEqual(
    [1, 2, 3, 4].map((assignment) => held.has(assignment)),
    [true, false, false, true],
  );
  t.deepEqual(
    held.take(7).map(({ assignment }) => assignment),
    [1, 4],
  );
  t.is(held.step, null);
});

/** What steps 5 and 6 come to, one after the other, with all weights in front of each. */
async function expectedOf(host: RankHost, weights: readonly Float32Array[]): Promise<string[]> {
  const bench = new DeskBench(recipe, host);
  const expected: string[] = [];
  for (const [i, values] of weights.entries()) {
    bench.weights(5 + i, values);
    expected.push(await bench.done(bench.assign(5 + i)));
  }
  bench.desk.close();
  await bench.desk.idle();
  return expected;
}

/** A desk that has all weights of step 5, and what steps 5 and 6 come to. */
function withDesk(
  threads: number,
  use: (bench: DeskBench, sixthWeights: Float32Array, fifth: string, sixth: string) => Promise<void>,
): Promise<void> {
  return withHost(recipe, threads, async (host) => {
    const weights = [initialise(host.layout, 1), initialise(host.layout, 2)] as const;
    const [fifth, sixth] = (await expectedOf(host, weights)) as [string, string];
    const bench = new DeskBench(recipe, host);
    bench.weights(5, weights[0]);
    await use(bench, weights[1], fifth, sixth);
    bench.desk.close();
    await bench.desk.idle();
  });
}

for (const threads of [1, 2]) {
  test.serial(`the next step waits for its parameters, and for nothing else: ${threads} ranks`, (t) =>
    withDesk(threads, async (bench, sixthWeights, fifth, sixth) => {
      const first = bench.assign(5);
      const second = bench.assign(6);
      t.is(bench.progress(second), 0, 'it is known, and nothing of it has been begun');
      t.is(await bench.done(first), fifth);
      await new Promise((resolve) => setTimeout(resolve, 30));
      t.false(bench.sent.some(({ type, assignment }) => type !== 'progress' && assignment === second));
      bench.parameters(6, sixthWeights);
      t.is(await bench.done(second), sixth);
      // Running statistics come late, and change nothing.
      bench.desk.weightsComplete(6);
      t.is(await bench.done(bench.assign(6)), sixth);
    }),
  );

  test.serial(`shards of the step before go first while the next cannot be computed: ${threads} ranks`, (t) =>
    withDesk(threads, async (bench, sixthWeights, fifth, sixth) => {
      t.is(await bench.done(bench.assign(5)), fifth);
      const ahead = bench.assign(6);
      // Ranks have loaded its images by now and wait for the weights.
      await new Promise((resolve) => setTimeout(resolve, 30));
      t.is(await bench.done(bench.assign(5)), fifth, 'somebody who had them is gone');
      bench.parameters(6, sixthWeights);
      t.is(await bench.done(ahead), sixth);
      // What it is at and can finish is finished: the weights of the step before are still there.
      const again = bench.assign(6);
      const back = bench.assign(5);
      t.is(await bench.done(again), sixth);
      t.is(await bench.done(back), fifth);
    }),
  );
}

test.serial('nothing comes of what is taken back before its step, and what comes after it is right', (t) =>
  withDesk(1, async (bench, sixthWeights, fifth, sixth) => {
    const first = bench.assign(5);
    const held = bench.assign(6);
    bench.desk.revoke(held);
    t.is(bench.progress(held), null);
    t.is(await bench.done(first), fifth);
    const begun = bench.assign(6);
    await new Promise((resolve) => setTimeout(resolve, 30));
    bench.desk.revoke(begun);
    bench.parameters(6, sixthWeights);
    t.is(await bench.done(bench.assign(6)), sixth);
    t.false(bench.sent.some(({ assignment }) => assignment === held || assignment === begun));
  }),
);
