/** Clusters that are predicted: how many nodes of which kind, with how much work each. */
import { largestShardCount } from '@lockstep/shared/protocol/fields.ts';
import { type ClusterShape, type Costs, cutBlocks } from './cluster-shape.ts';
import { predict, type Prediction, spreadNodes } from './prediction.ts';
import type { Workload } from './workloads.ts';

export interface ScenarioOptions {
  readonly nodeCounts: readonly number[];
  /** Gbit/s of the coordinator and of each node. */
  readonly gigabits: readonly number[];
  readonly threadsPerNode: number;
  readonly imagesPerShard: number;
  readonly shardsPerThread: number;
  /** Speeds of nodes lie within 1 - spread .. 1 + spread. */
  readonly spread: number;
  /** One way, seconds. */
  readonly latency: number;
  readonly coordinatorThreads: number;
  readonly bytesPerFloat: 2 | 4;
}

export interface Cell extends Prediction {
  readonly workload: string;
  readonly gigabits: number;
  readonly batch: number;
}

/** Bytes a second of so many Gbit/s, less the headers of Ethernet, IP and TCP (1448 of 1538 bytes are payload). */
export function linkBytes(gigabits: number): number {
  return (gigabits * 1e9 * (1448 / 1538)) / 8;
}

/** Every number of nodes at every bandwidth; the batch grows with the cluster (weak scaling). */
export function predictAll(
  workloads: readonly Workload[],
  costsOf: (workload: Workload) => Costs,
  options: ScenarioOptions,
): Cell[] {
  return workloads.flatMap((workload) =>
    options.gigabits.flatMap((gigabits) =>
      options.nodeCounts.map((count) => {
        const shape = shapeFor(workload, costsOf(workload), count, gigabits, options);
        const batch = shape.shards.reduce((sum, samples) => sum + samples, 0);
        return { workload: workload.name, gigabits, batch, ...predict(shape) };
      }),
    ),
  );
}

function shapeFor(
  workload: Workload,
  costs: Costs,
  count: number,
  gigabits: number,
  options: ScenarioOptions,
): ClusterShape {
  const { threadsPerNode, imagesPerShard, shardsPerThread, spread, bytesPerFloat } = options;
  const shards = Math.min(largestShardCount, count * threadsPerNode * shardsPerThread);
  return {
    costs,
    nodes: spreadNodes(count, threadsPerNode, spread),
    coordinatorThreads: options.coordinatorThreads,
    coordinatorLink: linkBytes(gigabits),
    nodeLink: linkBytes(gigabits),
    latency: options.latency,
    shared: null,
    parts: cutBlocks(
      workload.parts.map(({ floats, finalAt }) => ({ bytes: floats * bytesPerFloat, finalAt })),
    ),
    statisticsBytes: (workload.totalFloats - workload.parameters) * bytesPerFloat,
    shards: Array.from({ length: shards }, () => imagesPerShard),
    updatesEarly: true,
  };
}
