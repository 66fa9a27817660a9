/** Mode `sync` on threads against ONE worker in float64 that holds the whole batch. */
import type { CommittedStep } from '@lockstep/coordinator/run-loop.ts';
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { runningOf } from '@lockstep/shared/model/layout.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { normalisationTable } from '@lockstep/worker/data/augmentation.ts';
import test from 'ava';
import { compareArrays } from '../helpers/comparison.ts';
import { ReferenceProgram } from '../helpers/reference-program.ts';
import { smallDataset, steps, threadedRun } from '../helpers/small-run.ts';

/** Batches: even shards; uneven ones; some that are empty. */
const batches = [
  { title: 'even shards', trainCount: 16, batchSize: 8, shardsPerStep: 4 },
  { title: 'uneven shards', trainCount: 20, batchSize: 10, shardsPerStep: 4 },
  { title: 'empty shards', trainCount: 13, batchSize: 10, shardsPerStep: 5 },
  { title: 'a single shard', trainCount: 12, batchSize: 6, shardsPerStep: 1 },
];

for (const { title, trainCount, batchSize, shardsPerStep } of batches) {
  test(`${title}: loss, gradients and running statistics of two steps`, async (t) => {
    const dataset = smallDataset(trainCount, 12);
    const recipe = parseRecipe({
      model: 'resnet8',
      dataset: 'synthetic',
      batchNorm: 'sync',
      shortcut: 'B',
      optimizer: 'sgd',
      lr: 0.02,
      batchNormMomentum: 0.3,
      batchSize,
      shardsPerStep,
    });
    const session = await threadedRun(recipe, dataset, 2);
    const { layout, model, truth } = session;
    const { store } = truth;
    const size = dataset.height * dataset.width * dataset.channels;
    let before = truth.weights();
    const compare = async ({ plan, shards }: CommittedStep): Promise<void> => {
      const samples = planStep(recipe, trainCount, plan.step).shards.flat();
      const options = { batchNormEpsilon: recipe.batchNormEpsilon };
      const worker = new ReferenceProgram(compileProgram(model, 'train', samples.length, options));
      const wanted = worker.run({
        weights: Float64Array.from(before),
        images: Uint8Array.from(
          samples.flatMap((s) => [...dataset.train.images.subarray(s * size, (s + 1) * size)]),
        ),
        labels: samples.map((sample) => dataset.train.labels[sample] as number),
        pixelTable: normalisationTable(dataset.mean, dataset.deviation, dataset.channels),
      });
      const loss = shards.reduce((sum, { lossSum }) => sum + lossSum, 0);
      t.true(Math.abs(loss - wanted.lossSum) < 1e-5 * wanted.lossSum, `${loss}, ${wanted.lossSum}`);
      t.is(
        shards.reduce((sum, { correct }) => sum + correct, 0),
        wanted.correct,
      );
      for (const { layer, role, offset, size: length } of layout.parameters) {
        const sum = Float64Array.from({ length }, (_, i) =>
          shards.reduce((total, { shard }) => total + (store.slot(shard)[offset + i] as number), 0),
        );
        const expected = wanted.gradients.subarray(offset, offset + length);
        const { ok, message } = compareArrays(sum, expected, 2e-4, 1e-2);
        t.true(ok, `${layer} ${role}: ${message}`);
      }
      const after = truth.weights();
      for (const { layer, channels, channel, pixels } of layout.batchNorms) {
        for (const role of ['running-mean', 'running-variance'] as const) {
          const { offset } = runningOf(layout, layer, role);
          const expected = Array.from({ length: channels }, (_, c) => {
            const [mean = 0, m2 = 0] = wanted.moments.subarray(2 * (channel + c), 2 * (channel + c) + 2);
            const batch = role === 'running-mean' ? mean : m2 / (samples.length * pixels - 1);
            return 0.7 * (before[offset + c] as number) + 0.3 * batch;
          });
          const { ok, message } = compareArrays(after.subarray(offset, offset + channels), expected, 2e-5);
          t.true(ok, `${layer} ${role}: ${message}`);
        }
      }
      before = after;
    };
    await steps(recipe, dataset, session, 2, compare, true);
    t.is(truth.step, 2);
    await session.close();
  });
}
