/** Two shards in one slot: the bits of the fixed tree, whoever comes first and whoever is lost on the way. */
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { parseRecipe, type Recipe } from '@lockstep/shared/recipe.ts';
import { combineTree } from '@lockstep/shared/reduce/tree.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import {
  adding,
  both,
  type ChunkedEntry,
  chunkEntries,
  pairChunkCount,
  pairChunkFloats,
  PairStates,
  storing,
  writing,
} from '@lockstep/worker/rank/pair-states.ts';
import test from 'ava';
import { sameWords } from '../../helpers/bits.ts';
import { failNext, inlineRun, smallDataset, steps, threadedRun } from '../../helpers/small-run.ts';

// Two batches of 12 and one of 5, which leaves some of 7 or 12 shards empty.
const dataset: Dataset = smallDataset(29, 8);
const partialStep = 2;
const shardCounts = [1, 2, 3, 5, 7, 12];

const recipeOf = (more: object): Recipe =>
  parseRecipe({ model: 'resnet8', dataset: 'synthetic', batchSize: 12, ...more });

/** One rank in this thread, and the tasks of the step with the small batch. */
async function smallStep(recipe: Recipe, sharedSlots: boolean) {
  const run = await inlineRun(recipe, dataset, 'fma-narrow', { sharedSlots });
  const plan = planStep(recipe, dataset.train.count, partialStep);
  const tasks = plan.shards.map(
    (samples, shard) => ({ kind: 'shard', step: partialStep, side: 0, epoch: 0, shard, samples }) as const,
  );
  const pairs = new PairStates(run.store, run.layout, 0);
  const update = { from: 0, to: run.layout.parameterCount, update: 1, learningRate: 0.01 };
  const finish = (): Float32Array => {
    run.rank.run({ kind: 'slice', side: 0, samples: plan.samples, ...update });
    return Float32Array.from(run.store.weights(1).subarray(0, run.layout.parameterCount));
  };
  return { ...run, tasks, pairs, finish };
}

/** Weights after one step in which every shard has a slot of its own. */
async function expectedWeights(recipe: Recipe): Promise<Float32Array> {
  const { rank, tasks, finish } = await smallStep(recipe, false);
  for (const task of tasks) rank.run(task);
  return finish();
}

for (const shardsPerStep of shardCounts) {
  test(`${shardsPerStep} shards in shared slots, in any order, give the bits of slots of their own`, async (t) => {
    const recipe = recipeOf({ shardsPerStep });
    const wanted = await expectedWeights(recipe);
    const { rank, store, tasks, pairs, finish } = await smallStep(recipe, true);
    const slots = Math.ceil(shardsPerStep / 2);
    const [words] = store.layout.pairWords;
    t.true(words >= store.layout.slots + slots * store.layout.slotBytes);
    t.true(words < store.layout.slots + (slots + 1) * store.layout.slotBytes);
    for (const order of [
      tasks,
      tasks.toReversed(),
      tasks.toSorted((a, b) => (a.shard % 3) - (b.shard % 3)),
    ]) {
      pairs.begin(order.map(({ shard }) => shard));
      for (const task of order) rank.run(task);
      t.notThrows(() => sameWords(finish(), wanted, `${shardsPerStep} shards`));
    }
    // One after the other, as when one thread alone is measured.
    for (const task of tasks) {
      pairs.begin([task.shard]);
      rank.run(task);
    }
    t.notThrows(() => sameWords(finish(), wanted, 'given out one by one'));
  });
}

for (const wireDtype of ['bf16', 'f16'] as const) {
  test(`${wireDtype}: a pair's sum is rounded as every node of the tree is`, async (t) => {
    const recipe = recipeOf({ shardsPerStep: 5, wireDtype });
    const wanted = await expectedWeights(recipe);
    const { rank, tasks, pairs, finish } = await smallStep(recipe, true);
    pairs.begin(tasks.map(({ shard }) => shard));
    for (const task of tasks) rank.run(task);
    t.notThrows(() => sameWords(finish(), wanted, wireDtype));
  });
}

test('a shard that is computed again adds nothing twice', async (t) => {
  const recipe = recipeOf({ shardsPerStep: 4 });
  const wanted = await expectedWeights(recipe);
  const { rank, tasks, pairs, finish } = await smallStep(recipe, true);
  pairs.begin([0, 1, 2, 3]);
  for (const shard of [0, 0, 1, 1, 0, 3, 2, 2, 3]) rank.run(tasks[shard] as (typeof tasks)[number]);
  t.notThrows(() => sameWords(finish(), wanted, 'again and again'));
});

// What a rank that is lost in the middle of a chunk leaves behind, by the state that the chunk is in.
for (const lost of [0, 1]) {
  for (const [name, state] of [
    ['writing', writing],
    ['adding', adding],
    ['storing', storing],
  ] as const) {
    test(`shard ${lost} of a pair is lost while ${name}: the other attempt gives the same bits`, async (t) => {
      const recipe = recipeOf({ shardsPerStep: 2 });
      const wanted = await expectedWeights(recipe);
      const { rank, store, layout, tasks, pairs, finish } = await smallStep(recipe, true);
      const [own, other] = [tasks[lost], tasks[1 - lost]] as [(typeof tasks)[number], (typeof tasks)[number]];
      const words = store.pairWords(0, 0);
      const alone = await smallStep(recipe, false);
      for (const task of tasks) alone.rank.run(task);
      const gradients = tasks.map(({ shard }) => alone.store.slot(shard));
      const sum = combineTree<Float32Array>(
        2,
        (shard) => gradients[shard] as Float32Array,
        (a, b) => a.map((x, i) => x + (b[i] as number)),
      );
      const entries = chunkEntries(layout);
      t.is(words.length, pairChunkCount(layout));
      const entry = entries.toSorted((a, b) => b.to - b.from - (a.to - a.from))[0] as ChunkedEntry;
      const chunk = entry.firstChunk + 1;
      const from = entry.from + pairChunkFloats;
      const to = Math.min(entry.to, from + pairChunkFloats);
      pairs.begin([0, 1]);
      if (state !== writing) rank.run(other);
      // The lost rank had handed over all before this chunk of the largest group, and was at it.
      words[chunk] = state + lost;
      if (state === writing) store.slot(0).fill(7, from, to);
      if (state === adding) store.journal(lost).fill(7);
      if (state === storing) {
        store.journal(lost).set(sum.subarray(from, to));
        store.slot(0).fill(7, from, to - 5);
      }
      if (state === writing) t.throws(() => rank.run(own), { message: /was not recovered/ });
      pairs.recover(lost);
      for (const task of state === writing ? [other, own] : [own]) rank.run(task);
      t.true(words.every((word) => word === both));
      t.notThrows(() => sameWords(store.slot(0), sum, 'the slot'));
      t.notThrows(() => sameWords(finish(), wanted, 'the weights'));
    });
  }
}

test.serial('threads, with ranks lost in the middle of shards: the bits of one rank alone', async (t) => {
  for (const shardsPerStep of shardCounts) {
    const recipe = recipeOf({ shardsPerStep });
    const alone = await inlineRun(recipe, dataset);
    await steps(recipe, dataset, alone, 3);
    for (const threads of shardsPerStep === 5 ? [1, 3] : [3]) {
      let lost = 0;
      const session = await threadedRun(recipe, dataset, threads, () => void (lost += 1));
      try {
        t.is(session.truth.store.layout.pairChunks, pairChunkCount(session.layout));
        await failNext(session, 'exit-midway', 0);
        const drill = (): Promise<void> => failNext(session, 'exit-midway', threads - 1);
        await steps(recipe, dataset, session, 3, drill, true);
        t.is(session.truth.weightsSha256(), alone.truth.weightsSha256(), `${shardsPerStep} on ${threads}`);
        if (threads === 1) t.true(lost > 0);
      } finally {
        await session.close();
      }
    }
  }
});
