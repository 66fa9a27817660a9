/** The batch-norm moments of a subtree, merged in the fixed tree as the coordinator would. */
import type { Layout } from '@lockstep/shared/model/layout.ts';
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import { mergeShardMoments, type ShardMoments } from '@lockstep/shared/reduce/moments.ts';
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
  const { samples, values } = combineTree<ShardMoments>(
    width,
    (i) => ({ samples: samplesOf(from + i), values: store.moments(from + i) }),
    (a, b) => mergeShardMoments(a, b, layout.batchNorms),
  );
  // Of empty shards alone there are none; what lies in their place is older.
  return samples > 0 ? Float64Array.from(values) : new Float64Array(2 * layout.batchNormChannels);
}
