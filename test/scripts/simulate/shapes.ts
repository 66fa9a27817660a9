/** Clusters for the tests of the simulation. */
import type { ClusterShape, PartInBlocks } from '@lockstep/scripts/src/simulate/cluster-shape.ts';

export const free = {
  imageSeconds: 0.1,
  backwardShare: 0,
  reduceByteSeconds: 0,
  updateByteSeconds: 0,
  encodeByteSeconds: 0,
  sendByteSeconds: 0,
  receiveByteSeconds: 0,
  nodeSendByteSeconds: 0,
  nodeReceiveByteSeconds: 0,
  stepSeconds: 0,
};

export const unlimited = Number.POSITIVE_INFINITY;

/** Two nodes of one thread, four shards of 5 images, a megabyte each way, everything but arithmetic free. */
export const shape: ClusterShape = {
  costs: free,
  nodes: [
    { threads: 1, speed: 1 },
    { threads: 1, speed: 1 },
  ],
  coordinatorThreads: 1,
  coordinatorLink: unlimited,
  nodeLink: unlimited,
  latency: 0,
  shared: null,
  parts: [{ finalAt: 1, blocks: [1e6] }],
  statisticsBytes: 0,
  shards: [5, 5, 5, 5],
  updatesEarly: true,
};

/** A gradient in parts of one block each, as many as there are times. */
export function inFour(bytes: number, times: readonly number[]): PartInBlocks[] {
  return times.map((finalAt) => ({ finalAt, blocks: [bytes / times.length] }));
}

/** A megabyte for each time. */
export function megabytes(times: readonly number[]): PartInBlocks[] {
  return inFour(1e6 * times.length, times);
}

/** The same cluster as it was before blocks were updated early. */
export function atTheEnd(cluster: ClusterShape): ClusterShape {
  return { ...cluster, updatesEarly: false };
}

export function near(found: number, expected: number): boolean {
  return Math.abs(found - expected) < 1e-9;
}
