/** The single-thread baseline: the same kernels and recipe, a whole step on one rank. */
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { UpdateOf, Workforce } from '../cluster/workforce.ts';
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import type { Truth } from '../reduce/truth.ts';

export interface Baseline {
  readonly imagesPerSecond: number;
  readonly steps: number;
}

/**
 * Measures whole steps that are never committed, so that the run is as if nothing had happened. One rank computes them,
 * the others sleep. The first step warms up and does not count.
 *
 * @param seconds how long to measure, at least two steps
 */
export async function measureBaseline(
  recipe: Recipe,
  trainCount: number,
  truth: Truth,
  workforce: Workforce,
  seconds: number,
): Promise<Baseline> {
  const { side, layout, step } = truth;
  const runStep = async (): Promise<number> => {
    const plan = planStep(recipe, trainCount, 0);
    // A learning rate of 0 and the other side of the store: nothing of the truth is touched.
    const updateOf: UpdateOf = ({ from, to }) => ({
      kind: 'slice',
      side,
      from,
      to,
      update: 1,
      learningRate: 0,
      samples: plan.samples,
    });
    const tasks = plan.shards.map(
      (samples, shard) => ({ kind: 'shard', step, side, epoch: 0, shard, samples }) as const,
    );
    // In batch-norm mode `sync` one rank has no room for all shards of a step: then each is a batch of its own.
    const batches = recipe.batchNorm === 'sync' ? tasks.map((task) => [task]) : [tasks];
    for (const batch of batches) await workforce.computeShards(batch, { ranks: 1, updateOf });
    await workforce.updateSlices([updateOf({ from: 0, to: layout.parameterCount }, null)]);
    return plan.samples;
  };
  await runStep();
  let images = 0;
  let steps = 0;
  const begun = performance.now();
  while (steps < 2 || performance.now() - begun < seconds * 1000) {
    images += await runStep();
    steps += 1;
  }
  return { imagesPerSecond: images / ((performance.now() - begun) / 1000), steps };
}
