/**
 * A step of a cluster, event by event: shards, gradients up, blocks updated as they become whole and sent down again,
 * the commit, what is left of the weights. Nodes do not begin at the same time, and what goes ahead belongs to the next
 * step; so several steps are simulated, and one counts when the cluster has found its rhythm.
 */
import type { ClusterShape } from './cluster-shape.ts';
import { EventQueue } from './event-queue.ts';
import { type Shares, SimulatedCluster } from './simulated-cluster.ts';

export interface StepPrediction {
  /** From commit to commit. */
  readonly seconds: number;
  /** After the commit: when the last node had its weights, the last shard was computed, the last gradient was in. */
  readonly weightsAt: number;
  readonly computedAt: number;
  readonly gathered: number;
  /** Through the coordinator's link in each direction. */
  readonly bytesDown: number;
  readonly bytesUp: number;
  /** How many of the bytes down were sent before the commit. */
  readonly aheadBytes: number;
  /** Processor time of the coordinator and all nodes. */
  readonly busySeconds: number;
}

/** Steps that do not count: in the first one everybody begins at the same time, with all weights. */
const warmUp = 2;

const counted = 2;

/** Predicts a step. @param shares entry 0 the coordinator's, then one for each node */
export function simulateStep(shape: ClusterShape, shares: Shares): StepPrediction {
  const queue = new EventQueue();
  const cluster = new SimulatedCluster(queue, shape, shares, warmUp + counted + 1);
  cluster.begin();
  queue.run();
  const first = cluster.times[warmUp];
  const last = cluster.times[warmUp + counted];
  if (first === undefined || last === undefined) throw new RangeError('a step without shards never ends');
  const { begun, weightsAt, computedAt, gathered, bytesDown, bytesUp, aheadBytes, busySeconds } = last;
  return {
    seconds: (begun - first.begun) / counted,
    weightsAt: weightsAt - begun,
    computedAt: computedAt - begun,
    gathered: gathered - begun,
    bytesDown,
    bytesUp,
    aheadBytes,
    busySeconds: (busySeconds - first.busySeconds) / counted,
  };
}
