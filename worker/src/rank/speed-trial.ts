/** How fast the ranks of a host are, found by training a shard with the run's own program. */
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { RankHost } from './rank-host.ts';

/** A step that no run has: ranks take the run's weights afterwards, whatever lies in their arenas. */
const trialStep = -2;

/**
 * Has every rank compute a shard twice; the first time compiles the kernels, which then is over before the run's first
 * step. To be called before the store holds anything: slots are written, the weights may be all zeros.
 *
 * @returns images a second of all ranks together; null where nothing could be measured: batch-norm mode `sync`, where
 *   ranks cannot compute alone, or a rank that was lost
 */
export async function measureSpeed(
  { pool }: Pick<RankHost, 'pool'>,
  { batchNorm, batchSize, shardsPerStep }: Pick<Recipe, 'batchNorm' | 'batchSize' | 'shardsPerStep'>,
  trainCount: number,
): Promise<number | null> {
  if (batchNorm === 'sync') return null;
  const size = Math.ceil(batchSize / shardsPerStep);
  const samples = Array.from({ length: size }, (_, i) => i % trainCount);
  const ranks = Math.min(pool.size, shardsPerStep);
  let seconds = Number.NaN;
  for (let round = 0; round < 2; round++) {
    const begun = performance.now();
    const outcomes = await Promise.all(
      Array.from({ length: ranks }, (_, shard) =>
        pool.run({ kind: 'shard', step: trialStep, side: 0, epoch: 0, shard, samples }),
      ),
    );
    if (outcomes.some(({ ok }) => !ok)) return null;
    seconds = (performance.now() - begun) / 1000;
  }
  return (size * ranks) / seconds;
}
