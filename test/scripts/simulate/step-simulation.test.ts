/** Simulated steps against cases computed by hand, and the bottlenecks of clusters made to have one. */
import type { ClusterShape } from '@lockstep/scripts/src/simulate/cluster-shape.ts';
import { predict, spreadNodes } from '@lockstep/scripts/src/simulate/prediction.ts';
import { simulateStep } from '@lockstep/scripts/src/simulate/step-simulation.ts';
import test from 'ava';

const free = {
  imageSeconds: 0.1,
  backwardShare: 0,
  reduceByteSeconds: 0,
  updateByteSeconds: 0,
  encodeByteSeconds: 0,
  sendByteSeconds: 0,
  receiveByteSeconds: 0,
  stepSeconds: 0,
};

const fast = Number.POSITIVE_INFINITY;

/** Two nodes of one thread, four shards of 5 images, a megabyte each way, everything but arithmetic free. */
const shape: ClusterShape = {
  costs: free,
  nodes: [
    { threads: 1, speed: 1 },
    { threads: 1, speed: 1 },
  ],
  coordinatorThreads: 1,
  coordinatorLink: fast,
  nodeLink: fast,
  latency: 0,
  sharedCores: null,
  gradientBytes: 1e6,
  weightBytes: 1e6,
  shards: [5, 5, 5, 5],
  partBytes: 1e6,
};

const halves = [[], [{ from: 0, width: 2 }], [{ from: 2, width: 2 }]];

function near(found: number, expected: number): boolean {
  return Math.abs(found - expected) < 1e-9;
}

test('arithmetic alone: the images of a node, one after the other', (t) => {
  const step = simulateStep(shape, halves);
  t.true(near(step.seconds, 1));
  t.is(step.bytesDown, 2e6);
  t.is(step.bytesUp, 2e6);
});

test("the coordinator's link carries one copy for each node, in each direction", (t) => {
  // 2 MB at 10 MB/s down: 0.1 s and 0.2 s; each computes 1 s; up 0.1 s each: 1.1..1.2 and 1.2..1.3.
  const step = simulateStep({ ...shape, coordinatorLink: 1e7 }, halves);
  t.true(near(step.weightsAt, 0.2), String(step.weightsAt));
  t.true(near(step.computedAt, 1.2));
  t.true(near(step.seconds, 1.3));
});

test('store and forward: the node has its own link, and the way counts once each way', (t) => {
  // Down 0.1 (coordinator) + 0.2 (node at 5 MB/s) + 0.01; compute 1; up 0.2 + 0.01 + 0.1.
  const one = { ...shape, nodes: [{ threads: 1, speed: 1 }], shards: [5, 5] };
  const links = { coordinatorLink: 1e7, nodeLink: 5e6, latency: 0.01 };
  const step = simulateStep({ ...one, ...links }, [[], [{ from: 0, width: 2 }]]);
  t.true(near(step.seconds, 0.1 + 0.2 + 0.01 + 1 + 0.2 + 0.01 + 0.1), String(step.seconds));
  // In four parts the two links work at the same time: all of it on the slow one, a quarter on the fast one.
  const parts = simulateStep({ ...one, ...links, partBytes: 250_000 }, [[], [{ from: 0, width: 2 }]]);
  t.true(near(parts.seconds, 0.225 + 0.01 + 1 + 0.225 + 0.01), String(parts.seconds));
});

test('gradients go up during the backward pass of the last shard', (t) => {
  // Shards of 0.5 s, two thirds of it backward. Four parts of 0.05 s each on the link; the last part is final at
  // 1 s, the others long before: only one part is left to send.
  const costs = { ...free, backwardShare: 2 / 3 };
  const links = { coordinatorLink: fast, nodeLink: 5e6, partBytes: 250_000 };
  const overlapped = simulateStep({ ...shape, ...links, costs }, halves);
  const after = simulateStep({ ...shape, ...links }, halves);
  // Weights: 0.2 s before anything begins.
  t.true(near(overlapped.seconds, 0.2 + 1 + 0.05), String(overlapped.seconds));
  t.true(near(after.seconds, 0.2 + 1 + 0.2), String(after.seconds));
});

test('reduction: summands and the optimizer, in slices; partial sums on the node', (t) => {
  // Two summands of 1 MB at 0.1 us a byte and the optimizer at 0.2: 0.4 s; two threads take half. A node adds two.
  const costs = { ...free, reduceByteSeconds: 1e-7, updateByteSeconds: 2e-7 };
  t.true(near(simulateStep({ ...shape, costs }, halves).seconds, 1 + 0.2 + 0.4));
  t.true(near(simulateStep({ ...shape, costs, coordinatorThreads: 2 }, halves).seconds, 1 + 0.2 + 0.2));
});

test('on one machine all threads share the cores', (t) => {
  // Two ranks on one core: 2 s.
  t.true(near(simulateStep({ ...shape, sharedCores: 1 }, halves).seconds, 2));
});

test('shards that do not divide among threads leave one waiting', (t) => {
  const node = { ...shape, nodes: [{ threads: 2, speed: 1 }], shards: [5, 5, 5] };
  t.true(
    near(
      simulateStep(node, [
        [],
        [
          { from: 0, width: 2 },
          { from: 2, width: 1 },
        ],
      ]).seconds,
      1,
    ),
  );
});

test('efficiency and bottleneck of clusters that have one', (t) => {
  const cluster = { ...shape, nodes: spreadNodes(4, 1, 0), shards: Array.from({ length: 16 }, () => 5) };
  const good = predict(cluster);
  t.true(near(good.efficiency, 1));
  t.is(good.bottleneck, 'compute');
  t.is(predict({ ...cluster, coordinatorLink: 1e6 }).bottleneck, "coordinator's link");
  t.is(predict({ ...cluster, latency: 5 }).bottleneck, 'latency');
  t.is(
    predict({ ...cluster, costs: { ...free, receiveByteSeconds: 1e-6 } }).bottleneck,
    "coordinator's sockets",
  );
  t.is(predict({ ...cluster, costs: { ...free, updateByteSeconds: 1e-5 } }).bottleneck, 'reduction');
  // Five shards for four nodes: one has two.
  t.is(predict({ ...cluster, shards: [5, 5, 5, 5, 5] }).bottleneck, 'imbalance');
});

test('speeds are spread evenly around 1', (t) => {
  const speeds = spreadNodes(100, 1, 0.3).map(({ speed }) => speed);
  t.true(Math.min(...speeds) >= 0.7 && Math.max(...speeds) <= 1.3);
  t.true(Math.abs(speeds.reduce((a, b) => a + b, 0) / 100 - 1) < 0.02);
});
