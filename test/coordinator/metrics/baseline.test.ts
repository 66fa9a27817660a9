/** One thread alone is measured in both batch-norm modes, and leaves the run as it was. */
import { measureBaseline } from '@lockstep/coordinator/metrics/baseline.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import test from 'ava';
import { smallDataset, steps, threadedRun } from '../../helpers/small-run.ts';

const dataset = smallDataset(33, 8);

for (const batchNorm of ['shard', 'sync'] as const) {
  for (const threads of [1, 2, 3]) {
    test(`mode '${batchNorm}', ${threads} threads`, async (t) => {
      const shape = { model: 'resnet8', dataset: 'synthetic', batchSize: 10, shardsPerStep: 5 } as const;
      const recipe = parseRecipe({ ...shape, batchNorm });
      const lost: string[] = [];
      const session = await threadedRun(
        recipe,
        dataset,
        threads,
        (...what) => void lost.push(what.join(' ')),
      );
      try {
        const { truth, workforce } = session;
        await steps(recipe, dataset, session, 1);
        const before = truth.weightsSha256();
        const baseline = await measureBaseline(recipe, dataset.train.count, truth, workforce, 0);
        t.is(baseline.steps, 2);
        t.true(baseline.imagesPerSecond > 0);
        t.deepEqual([truth.step, truth.weightsSha256()], [1, before]);
        // The run can go on, with the bits of one that was not measured.
        await steps(recipe, dataset, session, 3);
        const other = await threadedRun(recipe, dataset, threads);
        await steps(recipe, dataset, other, 3).finally(() => other.close());
        t.is(truth.weightsSha256(), other.truth.weightsSha256());
        t.deepEqual(lost, []);
      } finally {
        await session.close();
      }
    });
  }
}
