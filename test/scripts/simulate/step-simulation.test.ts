/** Simulated steps against cases computed by hand, and the bottlenecks of clusters made to have one. */
import { predict, spreadNodes } from '@lockstep/scripts/src/simulate/prediction.ts';
import { simulateStep } from '@lockstep/scripts/src/simulate/step-simulation.ts';
import test from 'ava';
import { atTheEnd, free, inFour, megabytes, near, shape } from './shapes.ts';

const halves = [[], [{ from: 0, width: 2 }], [{ from: 2, width: 2 }]];
const whole = [[], [{ from: 0, width: 2 }]];

test('arithmetic alone: the images of a node, one after the other', (t) => {
  const step = simulateStep(shape, halves);
  t.true(near(step.seconds, 1));
  t.is(step.bytesDown, 2e6);
  t.is(step.bytesUp, 2e6);
  // The last block is updated before anybody commits it.
  t.is(step.aheadBytes, 2e6);
});

test("the coordinator's link carries one copy for each node, in each direction", (t) => {
  // 2 MB at 10 MB/s down: 0.1 s and 0.2 s after the commit; each computes 1 s; up 0.1 s each: 1.1..1.2 and 1.2..1.3.
  const step = simulateStep({ ...shape, coordinatorLink: 1e7 }, halves);
  t.true(near(step.weightsAt, 0.2), String(step.weightsAt));
  t.true(near(step.computedAt, 1.2));
  t.true(near(step.seconds, 1.3));
});

test('store and forward: the node has its own link, and the way counts once each way', (t) => {
  // Down 0.1 (coordinator) + 0.2 (node at 5 MB/s) + 0.01; compute 1; up 0.2 + 0.01 + 0.1.
  const one = { ...shape, nodes: [{ threads: 1, speed: 1 }], shards: [5, 5] };
  const links = { coordinatorLink: 1e7, nodeLink: 5e6, latency: 0.01 };
  const step = simulateStep({ ...one, ...links }, whole);
  t.true(near(step.seconds, 0.1 + 0.2 + 0.01 + 1 + 0.2 + 0.01 + 0.1), String(step.seconds));
  // In four blocks the links work at the same time: the slow one without a pause, up and then down, but for one block
  // up (0.01 s, then 0.025 s on the fast link) and down (0.025 s) again; the coordinator waits until then to send it.
  const blocks = simulateStep({ ...one, ...links, parts: inFour(1e6, [1, 1, 1, 1]) }, whole);
  t.true(near(blocks.seconds, 1 + 0.2 + 0.01 + 0.025 + 0.025 + 0.05 + 0.01), String(blocks.seconds));
  t.is(blocks.bytesUp, 1e6);
});

test('gradients go up during the backward pass of the last shard, and their weights come down', (t) => {
  // Shards of 0.5 s, two thirds of it backward, which ends at 1 s. Blocks of 0.05 s each on a node's link; all but the
  // last have long been there, and their weights are back.
  const costs = { ...free, backwardShare: 2 / 3 };
  const links = { nodeLink: 5e6, parts: inFour(1e6, [0.25, 0.5, 0.75, 1]) };
  const overlapped = simulateStep({ ...shape, ...links, costs }, halves);
  t.true(near(overlapped.seconds, 1 + 0.05 + 0.05), String(overlapped.seconds));
  t.is(overlapped.aheadBytes, 2e6);
  // The old way: all weights after the commit.
  const late = simulateStep({ ...shape, ...links, costs, updatesEarly: false }, halves);
  t.true(near(late.seconds, 1 + 0.05 + 0.2), String(late.seconds));
  t.is(late.aheadBytes, 0);
  // Nothing final before the end: four blocks up, one behind the other, and the last one down again.
  const after = simulateStep({ ...shape, ...links, parts: inFour(1e6, [1, 1, 1, 1]) }, halves);
  t.true(near(after.seconds, 1 + 0.2 + 0.05), String(after.seconds));
});

test('running statistics come with the commit', (t) => {
  // The block's weights take 0.2 s on each node's link, the statistics 0.1 s behind them.
  const step = simulateStep({ ...shape, nodeLink: 5e6, statisticsBytes: 500_000 }, halves);
  t.true(near(step.weightsAt, 0.3), String(step.weightsAt));
  t.is(step.bytesDown, 3e6);
  t.is(step.aheadBytes, 2e6);
});

test('reduction: summands and the optimizer; partial sums on the node', (t) => {
  // Two summands of 1 MB at 0.1 us a byte and the optimizer at 0.2: 0.4 s. A node adds two: 0.2 s.
  const costs = { ...free, reduceByteSeconds: 1e-7, updateByteSeconds: 2e-7 };
  t.true(near(simulateStep({ ...shape, costs }, halves).seconds, 1 + 0.2 + 0.4));
  // One block is one task, for one thread; what is left at the end is cut into slices.
  t.true(near(simulateStep({ ...shape, costs, coordinatorThreads: 2 }, halves).seconds, 1 + 0.2 + 0.4));
  const late = { ...shape, costs, coordinatorThreads: 2, updatesEarly: false };
  t.true(near(simulateStep(late, halves).seconds, 1 + 0.2 + 0.2));
});

test('blocks are updated while others are still being computed', (t) => {
  // Backward of the second shard lasts from 0.5 to 1 s. Blocks are there at 0.625, 0.75, 0.875 and 1; 0.1 s each.
  const costs = { ...free, backwardShare: 1, updateByteSeconds: 4e-7 };
  const parts = inFour(1e6, [0.25, 0.5, 0.75, 1]);
  t.true(near(simulateStep({ ...shape, costs, parts }, halves).seconds, 1.1));
  t.true(near(simulateStep({ ...shape, costs, parts, updatesEarly: false }, halves).seconds, 1.4));
});

test("with shards of the coordinator's own all blocks wait for the end", (t) => {
  const costs = { ...free, backwardShare: 1, updateByteSeconds: 4e-7 };
  const parts = inFour(1e6, [0.25, 0.5, 0.75, 1]);
  const shares = [[{ from: 0, width: 1 }], [{ from: 1, width: 1 }], [{ from: 2, width: 2 }]];
  const step = simulateStep({ ...shape, costs, parts }, shares);
  t.true(near(step.seconds, 1.4), String(step.seconds));
  t.is(step.aheadBytes, 0);
});

test('on one machine all threads share the cores', (t) => {
  // Two ranks on one core: 2 s. With another two threads that always compute: 4 s.
  const one = { cores: 1, others: 0, crowding: 1, switching: 1 };
  const step = simulateStep({ ...shape, shared: one }, halves);
  t.true(near(step.seconds, 2));
  t.true(near(step.busySeconds, 2));
  const busy = simulateStep({ ...shape, shared: { ...one, others: 2 } }, halves);
  t.true(near(busy.seconds, 4), String(busy.seconds));
  t.true(near(busy.busySeconds, 2), String(busy.busySeconds));
  // Two cores that hinder each other by a fifth.
  const crowded = simulateStep(
    { ...shape, shared: { cores: 2, others: 0, crowding: 1.2, switching: 1 } },
    halves,
  );
  t.true(near(crowded.seconds, 1.2));
});

test('shards that do not divide among threads leave one waiting', (t) => {
  const node = { ...shape, nodes: [{ threads: 2, speed: 1 }], shards: [5, 5, 5] };
  const shares = [
    { from: 0, width: 2 },
    { from: 2, width: 1 },
  ];
  t.true(near(simulateStep(node, [[], shares]).seconds, 1));
});

test('efficiency and bottleneck of clusters that have one', (t) => {
  const cluster = { ...shape, nodes: spreadNodes(4, 1, 0), shards: Array.from({ length: 16 }, () => 5) };
  const good = predict(cluster);
  t.true(near(good.efficiency, 1));
  t.is(good.bottleneck, 'compute');
  t.is(predict({ ...cluster, coordinatorLink: 1e6 }).bottleneck, "coordinator's link");
  t.is(predict({ ...cluster, latency: 5 }).bottleneck, 'latency');
  const costs = (changed: Partial<typeof free>) => ({ ...cluster, costs: { ...free, ...changed } });
  t.is(predict(costs({ receiveByteSeconds: 1e-6 })).bottleneck, "coordinator's sockets");
  t.is(predict(costs({ nodeReceiveByteSeconds: 1e-6 })).bottleneck, "nodes' sockets");
  t.is(predict(costs({ updateByteSeconds: 1e-5 })).bottleneck, 'reduction');
  // Five shards for four nodes: one has two.
  t.is(predict({ ...cluster, shards: [5, 5, 5, 5, 5] }).bottleneck, 'imbalance');
});

test('one node on a perfect link: its arithmetic and what is small', (t) => {
  // 4 MB: sums 2 summands a subtree on the node; one summand here. Sockets work beside the ranks.
  const costs = { ...free, backwardShare: 2 / 3, reduceByteSeconds: 1e-10, updateByteSeconds: 1e-9 };
  const bytes = { encodeByteSeconds: 1e-10, sendByteSeconds: 1e-9, receiveByteSeconds: 1e-9 };
  const small = { nodeSendByteSeconds: 1e-9, nodeReceiveByteSeconds: 1e-9, stepSeconds: 1e-3 };
  const one = {
    ...shape,
    costs: { ...costs, ...bytes, ...small },
    nodes: [{ threads: 1, speed: 1 }],
    parts: megabytes([0.3, 0.6, 0.9, 1]),
  };
  const { seconds } = simulateStep(one, [[], [{ from: 0, width: 4 }]]);
  t.true(seconds > 2 && seconds < 2.02, String(seconds));
  t.true(seconds < simulateStep(atTheEnd(one), [[], [{ from: 0, width: 4 }]]).seconds);
});

test('speeds are spread evenly around 1', (t) => {
  const speeds = spreadNodes(100, 1, 0.3).map(({ speed }) => speed);
  t.true(Math.min(...speeds) >= 0.7 && Math.max(...speeds) <= 1.3);
  t.true(Math.abs(speeds.reduce((a, b) => a + b, 0) / 100 - 1) < 0.02);
});
