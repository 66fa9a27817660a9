/** The batch-norm moments of a subtree, merged in the fixed tree as the coordinator would. */
import type { Layout } from '@lockstep/shared/model/layout.ts';
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import { type Moments, mergeMoments } from '@lockstep/shared/reduce/moments.ts';
import { combineTree } from '@lockstep/shared/reduce/tree.ts';
import type { Store } from '../rank/store.ts';

/**
 * @param samplesOf samples of each shard
 * @returns float64 `[batchNormChannels][2]`
 */
export function subtreeMoments(
  store: Store,
  layout: Layout,
  { from, width }: Subtree,
  samplesOf: (shard: number) => number,
): Float64Array {
  const merged = new Float64Array(2 * layout.batchNormChannels);
  for (const { channel, channels, pixels } of layout.batchNorms) {
    const { count, values } = combineTree<Moments>(
      width,
      (i) => ({
        count: samplesOf(from + i) * pixels,
        values: store.moments(from + i).subarray(2 * channel, 2 * (channel + channels)),
      }),
      mergeMoments,
    );
    // Of empty shards alone there are none; what lies in their place is older.
    if (count > 0) merged.set(values, 2 * channel);
  }
  return merged;
}
