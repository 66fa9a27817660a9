/** Steps without a last one, for whoever measures: committed as in a run, until there are enough, or a given number. */
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { type CommittedStep, runSteps } from '../run-loop.ts';
import type { Session } from '../session.ts';

export interface Sample {
  readonly steps: number;
  readonly images: number;
  /** Since the first of these steps began. */
  readonly seconds: number;
}

/**
 * Goes on from where the session's truth is.
 *
 * @param enough so many; or asked after each commit, with all steps of this call so far: a step that ranks have begun
 * when it says yes is finished, and counts
 * @param signal raised: ends in the same way
 * @throws LockstepError as `runSteps`
 */
export async function sampleSteps(
  { workforce, truth }: Pick<Session, 'workforce' | 'truth'>,
  { recipe, dataset }: { readonly recipe: Recipe; readonly dataset: Pick<Dataset, 'train'> },
  enough: number | ((sample: Sample, committed: CommittedStep) => boolean),
  signal?: AbortSignal,
): Promise<Sample> {
  const end = new AbortController();
  let [steps, images] = [0, 0];
  const begun = performance.now();
  const sample = (): Sample => ({ steps, images, seconds: (performance.now() - begun) / 1000 });
  const most = typeof enough === 'number' ? enough : Number.POSITIVE_INFINITY;
  const isEnough = typeof enough === 'number' ? () => steps >= most : enough;
  const last = truth.step + most;
  const run = {
    recipe,
    trainCount: dataset.train.count,
    lastStep: Number.MAX_SAFE_INTEGER,
    workforce,
    truth,
    restsAfter: (committed: number) => committed >= last,
    signal: signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]),
  };
  await runSteps(run, async (committed) => {
    steps += 1;
    images += committed.plan.samples;
    if (isEnough(sample(), committed)) end.abort();
  });
  return sample();
}
