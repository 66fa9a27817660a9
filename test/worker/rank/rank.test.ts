/** A rank's steps against ONE worker in float64: ghost batch-norm per shard, moments of the whole batch. */
import type { CommittedStep } from '@lockstep/coordinator/run-loop.ts';
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { runningOf } from '@lockstep/shared/model/layout.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { parseRecipe, type Recipe } from '@lockstep/shared/recipe.ts';
import { normalisationTable } from '@lockstep/worker/data/augmentation.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import test from 'ava';
import { sameWords } from '../../helpers/bits.ts';
import { compareArrays } from '../../helpers/comparison.ts';
import { channelMoments, type NaiveValue, runNaively } from '../../helpers/naive-network.ts';
import { inputPixels, type ProgramInput, ReferenceProgram } from '../../helpers/reference-program.ts';
import { inlineRun, smallDataset, steps } from '../../helpers/small-run.ts';

// Shards of 2, 3, 2 and 3 images, then of 0, 1, 1 and 1.
const dataset = smallDataset(13, 12);
const recipe = parseRecipe({
  model: 'resnet8',
  dataset: 'synthetic',
  batchSize: 10,
  shardsPerStep: 4,
  optimizer: 'sgd',
  momentum: 0,
  weightDecay: 0,
  lr: 0.05,
  batchNormMomentum: 0.3,
});

/** What a program reads for some samples of the data set. */
function inputOf(weights: Float64Array, data: Dataset, samples: readonly number[]): ProgramInput {
  const size = data.height * data.width * data.channels;
  const images = samples.flatMap((sample) => [
    ...data.train.images.subarray(sample * size, (sample + 1) * size),
  ]);
  return {
    weights,
    images: Uint8Array.from(images),
    labels: samples.map((sample) => data.train.labels[sample] as number),
    pixelTable: normalisationTable(data.mean, data.deviation, data.channels),
  };
}

/** One step of one worker: sums over the shards, in float64, from the weights before it. */
function workerStep(
  model: Model,
  before: Float32Array,
  shards: readonly (readonly number[])[],
  using: Recipe,
) {
  const weights = Float64Array.from(before);
  const epsilon = using.batchNormEpsilon;
  const gradients: (Float64Array | null)[] = [];
  const normInputs = new Map<string, NaiveValue[]>();
  let lossSum = 0;
  for (const samples of shards) {
    if (samples.length === 0) {
      gradients.push(null);
      continue;
    }
    const program = compileProgram(model, 'train', samples.length, { batchNormEpsilon: epsilon });
    const input = inputOf(weights, dataset, samples);
    gradients.push(new ReferenceProgram(program).run(input).gradients);
    const pixels = inputPixels(model, input);
    const naive = runNaively(model, weights, pixels, input.labels, { epsilon, mode: 'train' });
    lossSum += naive.lossSum;
    for (const layer of model.layers) {
      if (layer.kind !== 'batch-norm') continue;
      const values = naive.values.get(layer.input) as NaiveValue;
      normInputs.set(layer.name, [...(normInputs.get(layer.name) ?? []), values]);
    }
  }
  return { weights, gradients, normInputs, lossSum };
}

test('two steps with uneven and empty shards: gradients, weights and running statistics', async (t) => {
  const run = await inlineRun(recipe, dataset);
  const { layout, model, truth, store } = run;
  let before = truth.weights();
  let wanted = workerStep(model, before, planStep(recipe, 13, 0).shards, recipe);
  const compare = async ({ plan, shards }: CommittedStep): Promise<void> => {
    const step = `step ${plan.step}`;
    wanted.gradients.forEach((gradient, shard) => {
      if (!gradient) {
        t.true(
          store.slot(shard).every((g) => g === 0),
          'an empty shard has no gradient',
        );
        t.like(shards[shard], { shard, samples: 0, lossSum: 0, correct: 0 });
      } else {
        const { ok, message } = compareArrays(store.slot(shard), gradient, 1e-4);
        t.true(ok, `${step}, shard ${shard}: ${message}`);
      }
    });
    const loss = shards.reduce((sum, report) => sum + report.lossSum, 0);
    t.true(Math.abs(loss - wanted.lossSum) < 1e-5 * wanted.lossSum, step);

    const after = truth.weights();
    for (const { layer, role, offset, size } of layout.parameters) {
      // Plain SGD: the mean over the step's samples, divided once, however the shards were cut.
      const expected = Array.from({ length: size }, (_, i) => {
        const sum = wanted.gradients.reduce((total, g) => total + (g?.[offset + i] ?? 0), 0);
        return (-recipe.lr * sum) / plan.samples;
      });
      const moved = after.subarray(offset, offset + size).map((w, i) => w - (before[offset + i] as number));
      // Differences of weights near 1 hold seven digits of the weight, not of the difference.
      const { ok, message } = compareArrays(moved, expected, 1e-3, 1e-3);
      t.true(ok, `${step}, ${layer} ${role}: ${message}`);
    }
    for (const { layer, channels } of layout.batchNorms) {
      const inputs = wanted.normInputs.get(layer) as NaiveValue[];
      const count = inputs.reduce((sum, { data }) => sum + data.length / channels, 0);
      const check = (role: 'running-mean' | 'running-variance', batch: (c: number) => number) => {
        const { offset } = runningOf(layout, layer, role);
        const expected = Array.from({ length: channels }, (_, c) => {
          const old = before[offset + c] as number;
          return (1 - recipe.batchNormMomentum) * old + recipe.batchNormMomentum * batch(c);
        });
        const { ok, message } = compareArrays(after.subarray(offset, offset + channels), expected, 2e-5);
        t.true(ok, `${step}, ${layer} ${role}: ${message}`);
      };
      check('running-mean', (c) => channelMoments(inputs, c)[0]);
      check('running-variance', (c) => channelMoments(inputs, c)[1] / (count - 1));
    }
    before = after;
    wanted = workerStep(model, before, planStep(recipe, 13, 1).shards, recipe);
  };
  await steps(recipe, dataset, run, 2, compare, true);
  t.is(truth.step, 2);
  t.plan(2 * (1 + layout.parameters.length + 2 * layout.batchNorms.length) + 8 + 1 + 1);
});

test('a shard is the same whatever the rank computed before: other sizes, an evaluation, the same again', async (t) => {
  const run = await inlineRun(recipe, dataset);
  const { rank, store } = run;
  const shardTask = (shard: number, samples: readonly number[]) =>
    ({ kind: 'shard', step: 0, side: 0, epoch: 0, shard, samples }) as const;
  rank.run(shardTask(0, [4, 9, 2]));
  const alone = Float32Array.from(store.slot(0));
  const moments = Float64Array.from(store.moments(0));
  const evaluation = { kind: 'evaluation', step: 0, side: 0, split: 'test', from: 0, count: 7 } as const;
  const first = rank.run(evaluation);
  rank.run(shardTask(1, [0, 1]));
  rank.run(shardTask(2, [4, 9, 2]));
  t.notThrows(() => sameWords(store.slot(2), alone, 'after an evaluation and a smaller shard'));
  t.deepEqual([...store.moments(2)], [...moments]);
  t.deepEqual(rank.run(evaluation), first);
  const fresh = await inlineRun(recipe, dataset);
  t.deepEqual(fresh.rank.run(evaluation), first);
});

test('an evaluation uses running statistics: loss and predictions of one worker', async (t) => {
  const run = await inlineRun(recipe, dataset);
  await steps(recipe, dataset, run, 2);
  const { truth, model } = run;
  const task = { kind: 'evaluation', step: 2, side: truth.side, split: 'train', from: 0, count: 13 } as const;
  const found = run.rank.run(task);
  const everything = Array.from({ length: 13 }, (_, i) => i);
  const input = inputOf(Float64Array.from(truth.weights()), dataset, everything);
  const epsilon = recipe.batchNormEpsilon;
  const pixels = inputPixels(model, input);
  const wanted = runNaively(model, input.weights, pixels, input.labels, { epsilon, mode: 'evaluate' });
  t.true(found.kind === 'evaluation' && Math.abs(found.lossSum - wanted.lossSum) < 1e-4 * wanted.lossSum);
  t.like(found, { from: 0, correct: wanted.correct });
});

test('all four builds: the widths of one arithmetic agree bit for bit after three steps', async (t) => {
  const hashes: string[] = [];
  for (const build of ['fma-narrow', 'fma-wide', 'mul-add-narrow', 'mul-add-wide'] as const) {
    const run = await inlineRun(recipe, dataset, build);
    await steps(recipe, dataset, run, 3);
    hashes.push(run.truth.weightsSha256());
  }
  t.is(hashes[0], hashes[1]);
  t.is(hashes[2], hashes[3]);
  t.not(hashes[0], hashes[2]);
});

test('gradients that are not finite are counted, and the step is refused without a trace', async (t) => {
  const run = await inlineRun(recipe, dataset);
  const weights = run.truth.weights();
  weights[0] = Number.NaN;
  run.truth.restore(weights, [], 0, 0);
  const error = await t.throwsAsync(steps(recipe, dataset, run, 1));
  t.like(error, { code: 'STEP_NOT_FINITE' });
  t.is(run.truth.step, 0);
  t.notThrows(() => sameWords(run.truth.weights(), weights, 'the truth of before'));
});
