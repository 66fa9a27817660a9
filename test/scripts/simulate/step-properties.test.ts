/** What holds for every cluster that is simulated. */
import {
  type ClusterShape,
  gradientBytes,
  weightBytes,
} from '@lockstep/scripts/src/simulate/cluster-shape.ts';
import { shareOut } from '@lockstep/scripts/src/simulate/planner.ts';
import { simulateStep } from '@lockstep/scripts/src/simulate/step-simulation.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';
import { atTheEnd, free, unlimited } from './shapes.ts';

/** Seconds a byte, as fast as memory up to slower than any socket. */
const perByte = fc.integer({ min: 0, max: 40 }).map((tenths) => tenths * 1e-10);

const costs = fc.record({
  imageSeconds: fc.integer({ min: 1, max: 40 }).map((ms) => ms / 1000),
  backwardShare: fc.integer({ min: 0, max: 9 }).map((tenths) => tenths / 10),
  reduceByteSeconds: perByte,
  updateByteSeconds: perByte,
  encodeByteSeconds: perByte,
  sendByteSeconds: perByte,
  receiveByteSeconds: perByte,
  nodeSendByteSeconds: perByte,
  nodeReceiveByteSeconds: perByte,
  stepSeconds: fc.integer({ min: 0, max: 5 }).map((ms) => ms / 1000),
});

const parts = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 4 })), {
    minLength: 1,
    maxLength: 4,
  })
  .map((cuts) => {
    const all = cuts.reduce((sum, [time]) => sum + time, 0);
    let passed = 0;
    return cuts.map(([time, count]) => {
      passed += time;
      return { finalAt: passed / all, blocks: Array.from({ length: count }, () => 1e6) };
    });
  });

const link = fc.constantFrom(1e7, 1e8, 1e9, unlimited);

const clusters: fc.Arbitrary<ClusterShape> = fc.record({
  costs,
  nodes: fc.array(fc.record({ threads: fc.integer({ min: 1, max: 3 }), speed: fc.constant(1) }), {
    minLength: 1,
    maxLength: 5,
  }),
  coordinatorThreads: fc.integer({ min: 1, max: 3 }),
  coordinatorLink: link,
  nodeLink: link,
  latency: fc.constantFrom(0, 0.001, 0.1),
  shared: fc.constant(null),
  parts,
  statisticsBytes: fc.constantFrom(0, 1000, 500_000),
  shards: fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 1, maxLength: 12 }),
  updatesEarly: fc.constant(true),
});

function close(found: number, expected: number): boolean {
  return Math.abs(found - expected) <= 1e-6 * Math.max(1, expected);
}

test('no byte gets lost or travels twice', (t) => {
  t.plan(0);
  assertProperty(
    fc.property(clusters, fc.boolean(), fc.boolean(), (cluster, early, computes) => {
      const shares = shareOut(cluster, computes);
      const step = simulateStep({ ...cluster, updatesEarly: early }, shares);
      const sums = shares.slice(1).reduce((sum, subtrees) => sum + subtrees.length, 0);
      return (
        close(step.bytesUp, sums * gradientBytes(cluster)) &&
        close(step.bytesDown, cluster.nodes.length * weightBytes(cluster)) &&
        step.aheadBytes <= cluster.nodes.length * gradientBytes(cluster) + 1 &&
        (early || step.aheadBytes === 0)
      );
    }),
  );
});

test('a step is never shorter than what its slowest parts need', (t) => {
  t.plan(0);
  assertProperty(
    fc.property(clusters, (cluster) => {
      const { seconds, bytesDown, bytesUp } = simulateStep(cluster, shareOut(cluster, false));
      const { costs: cost, coordinatorLink, nodes, shards, latency } = cluster;
      const threads = nodes.reduce((sum, node) => sum + node.threads, 0);
      const images = shards.reduce((a, b) => a + b, 0);
      const sockets =
        bytesDown * cost.sendByteSeconds +
        bytesUp * cost.receiveByteSeconds +
        weightBytes(cluster) * cost.encodeByteSeconds;
      const least = Math.max(
        (images * cost.imageSeconds) / threads + 2 * latency,
        bytesDown / coordinatorLink,
        bytesUp / coordinatorLink,
        sockets,
      );
      return seconds >= least - 1e-9;
    }),
  );
});

/** A faster link for one and for all, and no way at all. */
function betterNetworks(cluster: ClusterShape): ClusterShape[] {
  const { coordinatorLink, nodeLink } = cluster;
  return [
    { ...cluster, coordinatorLink: 2 * coordinatorLink },
    { ...cluster, nodeLink: 2 * nodeLink },
    { ...cluster, coordinatorLink: 2 * coordinatorLink, nodeLink: 2 * nodeLink },
    { ...cluster, latency: 0 },
  ];
}

test('more bandwidth is never slower, nor is less latency', (t) => {
  t.plan(0);
  assertProperty(
    fc.property(clusters, (several) => {
      // One after the other everywhere: with sockets that cost nothing nobody can come in between.
      const sockets = { encodeByteSeconds: 0, sendByteSeconds: 0, receiveByteSeconds: 0 };
      const nodeSockets = { nodeSendByteSeconds: 0, nodeReceiveByteSeconds: 0 };
      const cluster = {
        ...several,
        nodes: several.nodes.slice(0, 1),
        costs: { ...several.costs, ...sockets, ...nodeSockets },
      };
      const shares = shareOut(cluster, false);
      const { seconds } = simulateStep(cluster, shares);
      return betterNetworks(cluster).every(
        (better) => simulateStep(better, shares).seconds <= seconds + 1e-9,
      );
    }),
  );
});

test('a better network loses at most by who comes first', (t) => {
  t.plan(0);
  // Links and threads serve who comes first: what a faster link brings earlier may stand in front of what everybody
  // waits for. No better network is worth that much less.
  assertProperty(
    fc.property(clusters, (cluster) => {
      const shares = shareOut(cluster, false);
      const { seconds } = simulateStep(cluster, shares);
      return betterNetworks(cluster).every(
        (better) => simulateStep(better, shares).seconds <= 1.25 * seconds,
      );
    }),
  );
});

test('early updates are never later than the old way, but for what the commit waits for', (t) => {
  t.plan(0);
  assertProperty(
    fc.property(clusters, (several) => {
      const cluster = { ...several, coordinatorThreads: 1 };
      const shares = shareOut(cluster, false);
      const early = simulateStep(cluster, shares).seconds;
      const late = simulateStep(atTheEnd(cluster), shares).seconds;
      // What is sent ahead is handed over by the thread that takes gradients and commits.
      const { encodeByteSeconds, sendByteSeconds } = cluster.costs;
      const aheadSeconds = encodeByteSeconds + cluster.nodes.length * sendByteSeconds;
      return early <= late + gradientBytes(cluster) * aheadSeconds + 1e-9;
    }),
  );
});

test('on a perfect network with perfect sockets arithmetic is all that is left', (t) => {
  t.plan(0);
  assertProperty(
    fc.property(clusters, (cluster) => {
      const perfect = {
        ...cluster,
        costs: { ...free, imageSeconds: cluster.costs.imageSeconds, backwardShare: 0.5 },
        nodes: [{ threads: 1, speed: 1 }],
        coordinatorLink: unlimited,
        nodeLink: unlimited,
        latency: 0,
      };
      const images = cluster.shards.reduce((a, b) => a + b, 0);
      return close(
        simulateStep(perfect, shareOut(perfect, false)).seconds,
        images * cluster.costs.imageSeconds,
      );
    }),
  );
});
