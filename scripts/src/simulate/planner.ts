/** Who gets which shards: the project's own planner, asked as the coordinator asks it. */
import { apportion, contiguousRuns } from '@lockstep/coordinator/cluster/apportion.ts';
import { decompose } from '@lockstep/shared/protocol/subtree.ts';
import type { ClusterShape } from './cluster-shape.ts';
import type { Shares } from './simulated-cluster.ts';

/** Shards in proportion to speed, in whole subtrees where possible. Entry 0 is the coordinator's own. */
export function shareOut(shape: ClusterShape, coordinatorComputes: boolean): Shares {
  const { shards, nodes, coordinatorThreads, costs } = shape;
  const samples = shards.reduce((sum, count) => sum + count, 0) / shards.length;
  const rate = 1 / Math.max(1e-12, samples * costs.imageSeconds);
  const own = { id: 0, name: 'coordinator', ranks: coordinatorThreads, speed: coordinatorThreads * rate };
  const hands = [
    ...(coordinatorComputes && coordinatorThreads > 0 ? [own] : []),
    ...nodes.map(({ threads, speed }, i) => ({
      id: i + 1,
      name: `node ${i + 1}`,
      ranks: threads,
      speed: threads * speed * rate,
    })),
  ];
  const { shares } = apportion([...shards.keys()], hands);
  const given = new Map(shares.map(({ id, shards: theirs }) => [id, theirs]));
  return Array.from({ length: nodes.length + 1 }, (_, id) =>
    contiguousRuns(given.get(id) ?? []).flatMap((run) => decompose(shards.length, run)),
  );
}
