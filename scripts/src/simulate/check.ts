/** The simulation against real runs on this machine: nodes of one thread each, all sharing the machine's cores. */
import { availableParallelism, loadavg } from 'node:os';
import type { ClusterShape } from './cluster-shape.ts';
import type { Calibration } from './measure/calibration.ts';
import { measureCluster } from './measure/cluster-run.ts';
import { predict } from './prediction.ts';

export interface CheckRow {
  readonly model: string;
  readonly nodes: number;
  /** Images a second. */
  readonly predicted: number;
  readonly measured: number;
  readonly ratio: number;
  readonly met: boolean;
  /** Threads that wanted a core in the minute before: what others compute here is in the measurement alone. */
  readonly load: number;
}

/** Predictions may miss a measurement by so much. */
const tolerance = 0.15;

export interface CheckOptions {
  readonly model: string;
  readonly batch: number;
  readonly shards: number;
  readonly nodeCounts: readonly number[];
  readonly steps: number;
}

/** The cluster that `measureCluster` starts, as the simulation sees it. Loopback has no wire: bytes cost processor time. */
export function loopbackShape(calibration: Calibration, options: CheckOptions, nodes: number): ClusterShape {
  const { batch, shards } = options;
  return {
    costs: calibration,
    nodes: Array.from({ length: nodes }, () => ({ threads: 1, speed: 1 })),
    coordinatorThreads: 1,
    coordinatorLink: Number.POSITIVE_INFINITY,
    nodeLink: Number.POSITIVE_INFINITY,
    latency: 0,
    sharedCores: availableParallelism(),
    gradientBytes: 4 * calibration.parameters,
    weightBytes: 4 * calibration.totalFloats,
    shards: Array.from({ length: shards }, (_, k) => {
      return Math.floor((batch * (k + 1)) / shards) - Math.floor((batch * k) / shards);
    }),
    partBytes: 2 ** 20,
  };
}

/** Measures and compares, one number of nodes after the other. */
export async function check(calibration: Calibration, options: CheckOptions): Promise<CheckRow[]> {
  const found: CheckRow[] = [];
  const load = loadavg()[0] ?? 0;
  for (const nodes of options.nodeCounts) {
    const predicted = predict(loopbackShape(calibration, options, nodes)).imagesPerSecond;
    const measured = options.batch / (await measureCluster({ ...options, nodes })).seconds;
    const ratio = predicted / measured;
    found.push({
      model: options.model,
      nodes,
      predicted,
      measured,
      ratio,
      load,
      met: Math.abs(ratio - 1) <= tolerance,
    });
  }
  return found;
}
