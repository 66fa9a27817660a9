/** What a step costs besides arithmetic does not grow with the number of ranks. */
import { measureRanks, type RankFigures } from '@lockstep/scripts/src/scaling/rank-measurement.ts';
import { gradientTraffic } from '@lockstep/scripts/src/scaling/step-counts.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import { chooseKernels } from '@lockstep/worker/rank/kernel-choice.ts';
import test from 'ava';

test('bytes of the gradient: once into a slot of its own; a shared one is read, journalled and written', (t) => {
  t.deepEqual(gradientTraffic(10, 4, null), { written: 160, read: 160, handOvers: 0 });
  // Two pairs: the first shards write 40 each, the second ones 80; they read 40 + 40 each, the reduction two slots.
  t.deepEqual(gradientTraffic(10, 4, 2), { written: 240, read: 240, handOvers: 8 });
  // The last shard of an odd number has a slot for itself.
  t.deepEqual(gradientTraffic(10, 3, 2), { written: 160, read: 160, handOvers: 6 });
});

test('1, 2 and 5 ranks: the same bits, at most one message for each rank, all small', async (t) => {
  const shards = 8;
  const shape = { model: 'lenet5', dataset: 'synthetic', batchSize: 64, shardsPerStep: shards } as const;
  const recipe = parseRecipe(shape);
  const dataset = await openDataset(recipe.dataset);
  const kernels = await chooseKernels(recipe.arithmetic);
  const all: RankFigures[] = [];
  for (const ranks of [1, 2, 5]) {
    all.push(await measureRanks(ranks, { recipe, dataset, kernels, seconds: 0.2 }));
  }
  const [one] = all as [RankFigures];
  t.true(one.reducedFloats > 10_000);
  for (const figures of all) {
    t.is(figures.weightsSha256, one.weightsSha256);
    t.is(figures.reducedFloats, one.reducedFloats);
    // All ranks together pack what one does alone.
    t.is(figures.packedFloats, one.reducedFloats);
    t.deepEqual(figures.gradient, one.gradient);
    t.true(figures.tasks <= figures.ranks, `${figures.tasks} tasks`);
    // Neither weights nor gradients travel in messages, nor lists of shards.
    const perRank = (figures.messageBytes - one.messageBytes) / Math.max(1, figures.ranks - 1);
    t.true(perRank < 500, `${perRank} bytes for each further rank`);
    t.true(figures.messageBytes < figures.ranks * 500, `${figures.messageBytes} bytes`);
    t.true(figures.imagesPerSecond > 0);
    t.true(Number.isFinite(figures.sleeps));
  }
  // The system counts it in hundredths of a second: one step alone, on a machine that stands still, may have none.
  t.true(all.some(({ cpuSeconds }) => cpuSeconds > 0) && all.every(({ cpuSeconds }) => cpuSeconds >= 0));
});
