/** The single-thread baseline: the same kernels and recipe, one shard after the other, nothing in parallel. */
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Workforce } from '../cluster/workforce.ts';
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import type { Truth } from '../reduce/truth.ts';

export interface Baseline {
  readonly imagesPerSecond: number;
  readonly steps: number;
}

/**
 * Measures whole steps that are never committed, so that the run is as if nothing had happened. Only one task
 * is out at any time: the other ranks sleep. The first step warms up and does not count.
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
    for (const [shard, samples] of plan.shards.entries()) {
      await workforce.computeShards([{ kind: 'shard', step, side, epoch: 0, shard, samples }]);
    }
    // A learning rate of 0 and the other side of the store: nothing of the truth is touched.
    const update = { update: 1, learningRate: 0, samples: plan.samples };
    await workforce.updateSlices([{ kind: 'slice', side, from: 0, to: layout.parameterCount, ...update }]);
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
