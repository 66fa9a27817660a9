/** Steps without a last one: as many as somebody wants, or until a signal is raised. */
import { sampleSteps } from '@lockstep/coordinator/metrics/step-sampling.ts';
import { openSession } from '@lockstep/coordinator/session.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import test from 'ava';

test('counts steps, images and time; goes on from where it was; ends when there are enough, at a number or at a signal', async (t) => {
  const recipe = parseRecipe({
    model: 'softmax-regression',
    dataset: 'synthetic',
    batchSize: 6,
    shardsPerStep: 2,
  });
  const dataset = await openDataset(recipe.dataset);
  const session = await openSession({ recipe, dataset, threads: 1 });
  try {
    session.truth.begin(recipe.seed);
    const seen: number[] = [];
    const first = await sampleSteps(session, { recipe, dataset }, ({ steps, images }, { plan }) => {
      t.is(images, 6 * steps);
      seen.push(plan.step);
      return steps === 3;
    });
    // The rank had begun with one more.
    t.deepEqual(seen, [0, 1, 2, 3]);
    t.is(first.steps, 4);
    t.is(first.images, 24);
    t.true(first.seconds > 0);
    const three = await sampleSteps(session, { recipe, dataset }, 3);
    t.is(three.steps, 3);
    t.is(session.truth.step, 7);
    const ended = new AbortController();
    const second = await sampleSteps(
      session,
      { recipe, dataset },
      () => {
        ended.abort();
        return false;
      },
      ended.signal,
    );
    t.is(second.steps, 2);
    t.is(session.truth.step, 9);
    t.is((await sampleSteps(session, { recipe, dataset }, () => false, ended.signal)).steps, 0);
  } finally {
    await session.close();
  }
});
