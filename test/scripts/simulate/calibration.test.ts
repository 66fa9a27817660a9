/** What is made of measurements: pure. */
import { loopbackShape, rowOf } from '@lockstep/scripts/src/simulate/check.ts';
import { cutBlocks, gradientBytes, weightBytes } from '@lockstep/scripts/src/simulate/cluster-shape.ts';
import { backwardTiming } from '@lockstep/scripts/src/simulate/measure/backward-timing.ts';
import { type Calibration, typical } from '@lockstep/scripts/src/simulate/measure/calibration.ts';
import { othersOf } from '@lockstep/scripts/src/simulate/measure/machine-load.ts';
import { secondsOf } from '@lockstep/scripts/src/simulate/measure/process-time.ts';
import test from 'ava';
import { free, near } from './shapes.ts';

const calibration: Calibration = {
  ...free,
  model: 'm',
  parameters: 1_000_000,
  totalFloats: 1_000_100,
  parts: [
    { floats: 900_000, finalAt: 0.25 },
    { floats: 100_000, finalAt: 1 },
  ],
  crowding: 1.1,
  switching: 1.2,
  loopback: 1e9,
};

test('parts of a gradient are final after their calls', (t) => {
  const step = { call: { kernel: 'none', values: [] } } as never;
  const parts = [
    { from: 10, to: 100, calls: 1 },
    { from: 0, to: 10, calls: 3 },
  ];
  // Preparation and forward 4 s; backward 1 + 2 + 1.
  const timing = backwardTiming({ parts, backward: [step, step, step] }, [1, 3, 1, 2, 1]);
  t.is(timing.backwardShare, 0.5);
  t.deepEqual(timing.parts, [
    { floats: 90, finalAt: 0.25 },
    { floats: 10, finalAt: 1 },
  ]);
});

test('blocks are no larger than a frame, and all of the part', (t) => {
  const [part] = cutBlocks([{ bytes: 2.5 * 2 ** 20, finalAt: 1 }]);
  t.is(part?.blocks.length, 3);
  t.true(near(part?.blocks.reduce((a, b) => a + b, 0) ?? 0, 2.5 * 2 ** 20));
});

test('others are as many as leave so much of a core', (t) => {
  t.is(othersOf(1, 2), 0);
  t.is(othersOf(0.5, 2), 2);
  t.true(near(othersOf(0.4, 2), 3));
  // A clock that runs ahead is no negative load.
  t.is(othersOf(1.01, 2), 0);
});

test('processor time of a process, whatever its name', (t) => {
  const rest = 'S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 11 0 100';
  t.is(secondsOf(`7 (node) ${rest}`), 2);
  t.is(secondsOf(`7 (a) b (c) ${rest}`), 2);
});

test('the typical calibration is the median of each figure', (t) => {
  const figures = [1, 5, 2].map((x) => ({ ...calibration, imageSeconds: x, stepSeconds: 10 - x }));
  const found = typical(figures);
  t.is(found.imageSeconds, 2);
  t.is(found.stepSeconds, 8);
  t.is(found.parts[0]?.floats, 900_000);
  t.is(typical(figures.slice(0, 2)).imageSeconds, 3);
});

test('the cluster on loopback has all bytes of the model', (t) => {
  const shape = loopbackShape(calibration, { batch: 48, shards: 12 }, 3, 0.5);
  t.is(shape.nodes.length, 3);
  t.is(shape.shared?.others, 0.5);
  t.true(Math.abs(gradientBytes(shape) - 4_000_000) < 1);
  t.true(Math.abs(weightBytes(shape) - 4_000_400) < 1);
  t.is(
    shape.shards.reduce((a, b) => a + b, 0),
    48,
  );
});

test('a row compares medians, and one disturbed round does not decide', (t) => {
  const round = {
    nodes: 2,
    predicted: 1,
    measured: 1.1,
    predictedWork: 2,
    measuredWork: 2.1,
    others: 1,
    stolen: 1,
  };
  const rounds = [round, { ...round, measured: 9, measuredWork: 4 }, { ...round, measured: 1 }];
  const row = rowOf({ model: 'm', batch: 10 }, 2, rounds);
  t.true(near(row.ratio, 1.1));
  t.true(row.met);
  t.true(near(row.workRatio ?? 0, 1.05));
  t.deepEqual(row.ratios, [1.1, 9, 1]);
  t.true(near(row.pairedRatio, 1.1));
  t.is(row.stolen, 3);
  t.false(rowOf({ model: 'm', batch: 10 }, 2, [{ ...round, measured: 1.2 }]).met);
  t.is(rowOf({ model: 'm', batch: 10 }, 2, [{ ...round, measuredWork: null }]).workRatio, null);
});
