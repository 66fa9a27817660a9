/** A rank's part in a round: shards, then the update; it comes back when there is nothing left, or it is asked to. */
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { PairStates } from '@lockstep/worker/rank/pair-states.ts';
import { RoundBoard } from '@lockstep/worker/rank/round-board.ts';
import type { RoundReport, RoundTask, SliceTask } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';
import { sameWords } from '../../helpers/bits.ts';
import { inlineRun, smallDataset } from '../../helpers/small-run.ts';

const recipe = parseRecipe({ model: 'resnet8', dataset: 'synthetic', batchSize: 12, shardsPerStep: 5 });
const dataset = smallDataset(29, 8);

/** A rank in this thread and an open round; step 2 has 5 samples, step 0 twelve. */
async function openRound(step: number) {
  const run = await inlineRun(recipe, dataset, 'fma-narrow', { sharedSlots: true });
  const { store, layout } = run;
  const plan = planStep(recipe, dataset.train.count, step);
  const pairs = new PairStates(store, layout);
  const board = new RoundBoard(store.arena, store.layout);
  const shards = plan.shards.map((samples, shard) => ({ shard, samples }));
  pairs.begin(shards.map(({ shard }) => shard));
  for (const { shard } of shards) store.control.begin(shard);
  board.open(shards);
  const update: SliceTask = {
    kind: 'slice',
    side: 0,
    from: 0,
    to: layout.parameterCount,
    update: 1,
    learningRate: 0.01,
    samples: plan.samples,
  };
  const round = (task: Partial<RoundTask>): RoundReport =>
    run.rank.run({ kind: 'round', step, side: 0, epoch: 0, seat: 0, update: null, ...task }) as RoundReport;
  return { ...run, plan, board, update, round };
}

for (const step of [0, 2]) {
  test(`step ${step}: one round gives the bits of shards and a slice`, async (t) => {
    const { store, layout, plan, update, round } = await openRound(step);
    const report = round({ update });
    t.deepEqual(
      report.shards.map(({ shard, samples }) => [shard, samples]),
      plan.shards.map((samples, shard) => [shard, samples.length]),
    );
    t.is(report.floats, layout.parameterCount);
    t.is(report.notFinite, 0);
    const alone = await inlineRun(recipe, dataset);
    for (const [shard, samples] of plan.shards.entries()) {
      alone.rank.run({ kind: 'shard', step, side: 0, epoch: 0, shard, samples });
    }
    alone.rank.run(update);
    const weights = (of: typeof store): Float32Array => of.weights(1).subarray(0, layout.parameterCount);
    t.notThrows(() => sameWords(weights(store), weights(alone.store), 'the weights'));
  });
}

test('without an update the rank comes back after the shards, and nothing is written', async (t) => {
  const { store, board, round } = await openRound(0);
  store.weights(1).fill(3);
  const report = round({});
  t.is(report.shards.length, 5);
  t.is(report.floats, 0);
  t.true(store.weights(1).every((value) => value === 3));
  t.is(board.unitsTaken, 0);
});

test('a shard that somebody else has is waited for; who is asked to come back does, and says what it did', async (t) => {
  const { store, board, update, round } = await openRound(0);
  const other = board.takeShard(1);
  t.is(other?.shard, 0);
  // Otherwise it would sleep until the other one is done.
  store.control.pause();
  const report = round({ update });
  t.deepEqual(
    report.shards.map(({ shard }) => shard),
    [1, 2, 3, 4],
  );
  t.is(report.floats, 0);
  store.control.resume();
  // The other one is lost: what it had is free, and whoever comes next does it and all of the update.
  board.release(1);
  const rest = round({ update, seat: 1 });
  t.deepEqual(
    rest.shards.map(({ shard }) => shard),
    [0],
  );
  t.is(rest.floats, update.to);
});
