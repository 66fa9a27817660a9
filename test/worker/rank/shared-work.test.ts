/** Ranks without a shard help those that have one: the bits of one rank, whoever helps and whoever is lost. */
import { availableParallelism } from 'node:os';
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { parseRecipe, type Recipe } from '@lockstep/shared/recipe.ts';
import type { RoundReport } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';
import { sameWords } from '../../helpers/bits.ts';
import { failNext, inlineRun, smallDataset, steps, threadedRun } from '../../helpers/small-run.ts';

const dataset = smallDataset(61, 16);
const recipeOf = (shardsPerStep: number, more: Partial<Recipe> = {}): Recipe =>
  parseRecipe({ model: 'resnet8', dataset: 'synthetic', batchSize: 24, ...more, shardsPerStep });

/** The weights after so many steps of one rank in this thread. */
async function expectedWeights(recipe: Recipe, last: number): Promise<Float32Array> {
  const { truth, workforce } = await inlineRun(recipe, dataset);
  await steps(recipe, dataset, { truth, workforce }, last);
  return truth.weights();
}

for (const { shards, threads } of [
  { shards: 1, threads: 2 },
  { shards: 1, threads: 4 },
  { shards: 2, threads: 5 },
  { shards: 3, threads: 2 },
]) {
  test(`${threads} ranks, ${shards} shards: the weights of one rank, and work was shared`, async (t) => {
    const recipe = recipeOf(shards);
    const session = await threadedRun(recipe, dataset, threads);
    let helped = 0;
    const run = session.pool.run.bind(session.pool);
    session.pool.run = (async (task: Parameters<typeof run>[0]) => {
      const outcome = await run(task);
      if (outcome.ok && outcome.report.kind === 'round') helped += (outcome.report as RoundReport).helped;
      return outcome;
    }) as typeof session.pool.run;
    await steps(recipe, dataset, session, 12);
    const expected = await expectedWeights(recipe, 12);
    t.notThrows(() => sameWords(session.truth.weights(), expected, 'the weights'));
    await session.close();
    // With one core nobody would gain by it.
    t.is(helped > 0, availableParallelism() > 1, `${helped} calls were made for others`);
    // In step 2 of an epoch there are 13 samples.
    t.is(planStep(recipe, dataset.train.count, 2).samples, 13);
  });
}

test('helpers and leaders that are lost in the middle of it: the weights of one rank', async (t) => {
  t.timeout(120_000);
  const recipe = recipeOf(1);
  const lost: (number | null)[] = [];
  const session = await threadedRun(recipe, dataset, 3, (_task, shard) => lost.push(shard));
  const last = 16;
  await steps(
    recipe,
    dataset,
    session,
    last,
    async ({ plan: { step } }) => {
      if (step % 2 === 0 && step < last) await failNext(session, 'exit-midway', (step / 2) % 3);
    },
    true,
  );
  const expected = await expectedWeights(recipe, last);
  t.notThrows(() => sameWords(session.truth.weights(), expected, 'the weights'));
  await session.close();
  t.true(lost.length >= 4, `${lost.length} ranks were lost`);
  // Who helped had no shard.
  t.is(lost.includes(null), availableParallelism() > 1);
});
