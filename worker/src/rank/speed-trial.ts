/** How fast the ranks of a host are, found by training a shard with the run's own program. */
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { RankHost } from './rank-host.ts';

/** A step that no run has: ranks take the run's weights afterwards, whatever lies in their arenas. */
const trialStep = -2;

/** Rounds, and the seconds after which no other one begins. */
const longest = { rounds: 6, seconds: 0.3 } as const;

/**
 * Has every rank compute a shard a few times; the first time compiles the kernels, which then is over before the run's
 * first step, and the best time counts, since a machine that does something else for a moment is not a slow one. To be
 * called before the store holds anything: slots are written, the weights may be all zeros.
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
  let best = Number.POSITIVE_INFINITY;
  let sum = 0;
  for (let round = 0; round < 2 || (round < longest.rounds && sum < longest.seconds); round++) {
    const begun = performance.now();
    const outcomes = await Promise.all(
      Array.from({ length: ranks }, (_, shard) =>
        pool.run({ kind: 'shard', step: trialStep, side: 0, epoch: 0, shard, samples }),
      ),
    );
    if (outcomes.some(({ ok }) => !ok)) return null;
    const seconds = (performance.now() - begun) / 1000;
    best = Math.min(best, seconds);
    if (round > 0) sum += seconds;
  }
  return (size * ranks) / best;
}
