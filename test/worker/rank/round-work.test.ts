/** A rank's part in rounds: shards, the update, and the next step when it is open; it comes back when it is asked to. */
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { PairStates } from '@lockstep/worker/rank/pair-states.ts';
import { RoundBoard } from '@lockstep/worker/rank/round-board.ts';
import { type RoundOrder, updateUnits } from '@lockstep/worker/rank/round-order.ts';
import type { Side } from '@lockstep/worker/rank/store.ts';
import type { RoundReport } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';
import { sameWords } from '../../helpers/bits.ts';
import { inlineRun, smallDataset } from '../../helpers/small-run.ts';

const recipe = parseRecipe({ model: 'resnet8', dataset: 'synthetic', batchSize: 12, shardsPerStep: 5 });
const dataset = smallDataset(29, 8);
const learningRate = 0.01;

/** A rank in this thread; step 2 has 5 samples, the others twelve. Step n reads side n % 2. */
async function openStore() {
  const run = await inlineRun(recipe, dataset, 'fma-narrow', { sharedSlots: true });
  const { store, layout } = run;
  const units = updateUnits(gradientParts(layout)).length;
  const desks = ([0, 1] as const).map((side) => ({
    board: new RoundBoard(store.arena, store.layout, side),
    pairs: new PairStates(store, layout, side),
  }));
  const sideOf = (step: number): Side => (step % 2 === 0 ? 0 : 1);
  const deskOf = (step: number) => desks[sideOf(step)] as (typeof desks)[0];
  const open = (step: number, more: Partial<RoundOrder> = {}): RoundBoard => {
    const plan = planStep(recipe, dataset.train.count, step);
    const shards = plan.shards.map((samples, shard) => ({ shard, samples }));
    const update = { update: step + 1, learningRate, samples: plan.samples };
    const { board, pairs } = deskOf(step);
    pairs.begin(shards.map(({ shard }) => shard));
    board.open({ step, epoch: plan.epoch, seats: 2, shards, update, ...more }, units);
    return board;
  };
  const round = (step: number, seat = 0): RoundReport =>
    run.rank.run({ kind: 'round', step, side: sideOf(step), seat }) as RoundReport;
  return { ...run, deskOf, open, round };
}

/** The parameters after so many steps, each of them as shards and one slice. */
async function expectedParameters(steps: readonly number[]): Promise<Float32Array> {
  const { rank, store, layout } = await inlineRun(recipe, dataset);
  for (const step of steps) {
    const side = step % 2 === 0 ? 0 : 1;
    const { shards, samples, epoch } = planStep(recipe, dataset.train.count, step);
    for (const [shard, own] of shards.entries()) {
      rank.run({ kind: 'shard', step, side, epoch, shard, samples: own });
    }
    const slice = { kind: 'slice', side, from: 0, to: layout.parameterCount, learningRate, samples } as const;
    rank.run({ ...slice, update: step + 1 });
  }
  return store.weights(((steps.at(-1) ?? 0) + 1) % 2 === 0 ? 0 : 1).subarray(0, layout.parameterCount);
}

for (const step of [0, 2]) {
  test(`step ${step}: one round gives the bits of shards and a slice`, async (t) => {
    const { store, layout, open, round } = await openStore();
    const board = open(step);
    const floats = layout.parameterCount;
    t.deepEqual(round(step), { kind: 'round', rounds: 1, floats, packed: floats, helped: 0 });
    t.true(board.isOver(step));
    t.is(board.notFinite, 0);
    const { shards } = planStep(recipe, dataset.train.count, step);
    t.deepEqual(
      board.reports().map(({ shard, samples }) => [shard, samples]),
      shards.map((samples, shard) => [shard, samples.length]),
    );
    const found = store.weights(1).subarray(0, layout.parameterCount);
    const expected = await expectedParameters([step]);
    t.notThrows(() => sameWords(found, expected, 'the weights'));
  });
}

test('a step that is open when this one is over is gone on with; one that does not follow is not', async (t) => {
  const { store, layout, open, round } = await openStore();
  open(0);
  open(1);
  t.like(round(0), { rounds: 2, floats: 2 * layout.parameterCount });
  const found = store.weights(0).subarray(0, layout.parameterCount);
  const expected = await expectedParameters([0, 1]);
  t.notThrows(() => sameWords(found, expected, 'the weights'));
  // Step 2 and then one that is not its successor, or not for this seat.
  open(2);
  const other = open(5);
  t.is(round(2).rounds, 1);
  t.false(other.isOver(5));
  const third = open(3, { seats: 1 });
  t.is(round(2, 1).rounds, 1);
  t.false(third.isOver(3));
  t.is(round(3, 1).rounds, 0);
  // A task that comes late: another step lies open there.
  t.is(round(7, 0).rounds, 0);
  t.false(third.isOver(3));
  t.is(round(2, 0).rounds, 2);
});

test('nobody goes on from a step whose gradient is not finite', async (t) => {
  const { store, open, round } = await openStore();
  const board = open(0);
  const next = open(1);
  store.weights(0)[3] = Number.NaN;
  t.is(round(0).rounds, 1);
  t.true(board.isOver(0));
  t.true(board.notFinite > 0);
  t.false(next.isOver(1));
});

test('without an update the rank comes back after the shards, and nothing is written', async (t) => {
  const { store, open, round } = await openStore();
  store.weights(1).fill(3);
  const board = open(0, { update: null });
  t.is(round(0).floats, 0);
  t.is(board.reports().length, 5);
  t.true(store.weights(1).every((value) => value === 3));
});

test('a shard that somebody else has is waited for; who is asked to come back does', async (t) => {
  const { store, layout, deskOf, open, round } = await openStore();
  const board = open(0);
  const other = board.takeShard(0, 1);
  t.is(other?.shard, 0);
  // Otherwise it would sleep until the other one is done.
  store.control.pause();
  t.is(round(0).floats, 0);
  t.is(board.reports().length, 0);
  store.control.resume();
  // The other one is lost: what it had is free, and whoever comes next does it and all of the update.
  deskOf(0).pairs.recover(0);
  board.release(1);
  t.is(round(0, 1).floats, layout.parameterCount);
  t.is(board.reports().length, 5);
  const found = store.weights(1).subarray(0, layout.parameterCount);
  const expected = await expectedParameters([0]);
  t.notThrows(() => sameWords(found, expected, 'the weights'));
});

test('a unit of the update that was lost half done is done again', async (t) => {
  const { store, layout, open, round } = await openStore();
  const board = open(0);
  const units = updateUnits(gradientParts(layout));
  // Two ranks: the shards are done by the first one, who then leaves.
  for (let taken = board.takeShard(0, 0); taken !== null; taken = board.takeShard(0, 0)) {
    const { shard, samples } = taken;
    board.finishShard(taken, rankReport(shard, samples));
    board.pass(taken, 99);
  }
  t.is(board.takeUnit(0, 1, units), 0);
  store.control.pause();
  t.is(round(0).floats, 0);
  store.control.resume();
  board.release(1);
  t.is(round(0).floats, layout.parameterCount);
  t.true(board.isOver(0));
});

function rankReport(shard: number, samples: readonly number[]) {
  const report = { kind: 'shard', shard, samples: samples.length, lossSum: 1, correct: 0 } as const;
  return { ...report, loadSeconds: 0, computeSeconds: 0 };
}
