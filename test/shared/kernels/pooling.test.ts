import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { pooledSize } from '@lockstep/shared/kernels/pooling.ts';
import test from 'ava';
import fc from 'fast-check';
import { checkGradient } from '../../helpers/finite-difference.ts';
import {
  checkCalls,
  halos,
  inputTensor,
  logicalValues,
  noise,
  outputTensor,
  type Shape,
  seeds,
  shapes,
  tensorOutput,
  runCalls,
  referenceCalls,
} from '../../helpers/kernel-check.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

interface Window {
  readonly K: number;
  readonly stride: number;
  readonly pad: number;
}

/** Windows that fit the smallest image, padding included; pad < K. */
const windows: fc.Arbitrary<Window> = fc.constantFrom(
  { K: 2, stride: 2, pad: 0 },
  { K: 3, stride: 2, pad: 1 },
  { K: 3, stride: 1, pad: 1 },
  { K: 3, stride: 3, pad: 2 },
  { K: 1, stride: 2, pad: 0 },
  { K: 2, stride: 1, pad: 1 },
);

const atLeast2 = (shape: Shape): Shape => ({ ...shape, H: shape.H + 1, W: shape.W + 1 });

function pooled(shape: Shape, { K, stride, pad }: Window): Shape {
  return { ...shape, H: pooledSize(shape.H, K, stride, pad), W: pooledSize(shape.W, K, stride, pad) };
}

/** Forward and backward calls of one pooling layer; `value` gives the input. */
function layer(shape: Shape, window: Window, xHalo: number, yHalo: number, value: (i: number) => number) {
  const harness = new KernelHarness();
  const out = pooled(shape, window);
  const x = inputTensor(harness, shape, xHalo, value);
  const y = outputTensor(harness, out, yHalo);
  const positions = {
    ...out,
    halo: 0,
    buffer: harness.buffer('i32', outputTensor(harness, out).buffer.length),
  };
  const g = inputTensor(harness, out, 0, noise(3));
  const dx = outputTensor(harness, shape);
  const forward = { ...shape, ...window, x: x.buffer.offset, xHalo, y: y.buffer.offset, yHalo };
  const backward = { ...shape, ...window, g: g.buffer.offset, dx: dx.buffer.offset };
  const where = { positions: positions.buffer.offset };
  return {
    harness,
    x,
    y,
    positions,
    g,
    dx,
    maximum: ['maxPoolForward', { ...forward, ...where }] as const,
    maximumBackward: ['maxPoolBackward', { ...backward, ...where }] as const,
    average: ['averagePoolForward', forward] as const,
    averageBackward: ['averagePoolBackward', backward] as const,
  };
}

test('maximum pooling: the first maximum, exactly, and where it was', (t) => {
  fc.assert(
    fc.property(shapes, windows, halos, halos, seeds, (shape, window, xHalo, yHalo, seed) => {
      // Few different values, so that ties are common; all negative half of the time, so that padding would win.
      const value = (i: number): number => Math.round(noise(seed)(i) * 3) - (seed % 2) * 10;
      const made = layer(atLeast2(shape), window, xHalo, yHalo, value);
      checkCalls(
        made.harness,
        [made.maximum, made.maximumBackward],
        [
          tensorOutput('y', made.y, 0),
          // Padding lanes hold positions too, of their first cell; they move zeros.
          { name: 'positions', buffer: made.positions.buffer, tolerance: Number.POSITIVE_INFINITY },
          tensorOutput('dx', made.dx, 2e-6, 1),
        ],
      );
      const expected = referenceCalls(made.harness, [made.maximum]).read(made.positions.buffer);
      for (const build of buildNames) {
        const found = runCalls(made.harness, build, [made.maximum]).read(made.positions.buffer);
        const [a, b] = [logicalValues(made.positions, found), logicalValues(made.positions, expected)];
        if (a.some((p, i) => p !== b[i])) throw new Error(`${build}: positions differ`);
      }
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('average pooling divides by the real cells', (t) => {
  fc.assert(
    fc.property(shapes, windows, halos, halos, seeds, (shape, window, xHalo, yHalo, seed) => {
      const made = layer(atLeast2(shape), window, xHalo, yHalo, noise(seed));
      checkCalls(
        made.harness,
        [made.average, made.averageBackward],
        // One element may be many times the root mean square: two roundings of it are more than 1e-6 of that.
        [tensorOutput('y', made.y, 4e-6, 0.1), tensorOutput('dx', made.dx, 4e-6, 0.1)],
      );
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

/** Forward and backward calls of a global average. */
function globalLayer(shape: Shape, xHalo: number, seed: number) {
  const harness = new KernelHarness();
  const out = { N: shape.N, H: 1, W: 1, C: shape.C };
  const x = inputTensor(harness, shape, xHalo, noise(seed));
  const y = outputTensor(harness, out);
  const g = inputTensor(harness, out, 0, noise(seed + 1));
  const dx = outputTensor(harness, shape);
  const forward = [
    'globalAveragePoolForward',
    { ...shape, x: x.buffer.offset, xHalo, y: y.buffer.offset },
  ] as const;
  const backward = [
    'globalAveragePoolBackward',
    { ...shape, g: g.buffer.offset, dx: dx.buffer.offset },
  ] as const;
  return { harness, x, y, g, dx, forward, backward };
}

test('global average pooling agrees with its reference', (t) => {
  fc.assert(
    fc.property(shapes, halos, seeds, (shape, xHalo, seed) => {
      const made = globalLayer(shape, xHalo, seed);
      checkCalls(
        made.harness,
        [made.forward, made.backward],
        [tensorOutput('y', made.y, 1e-6, 0.1), tensorOutput('dx', made.dx, 1e-6, 0.01)],
      );
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('a NaN wins every window that it is in', (t) => {
  const made = layer({ N: 1, H: 4, W: 4, C: 1 }, { K: 2, stride: 2, pad: 0 }, 0, 0, noise(1));
  made.x.buffer.data[4] = Number.NaN;
  for (const build of buildNames) {
    const run = runCalls(made.harness, build, [made.maximum]);
    const y = logicalValues(made.y, run.read(made.y.buffer));
    t.deepEqual(y.map(Number.isNaN), [true, false, false, false]);
    t.is(run.read(made.positions.buffer)[0], 1);
  }
});

test('the backward references are the derivatives of the forward references', (t) => {
  const shape = { N: 2, H: 5, W: 4, C: 5 };
  // All values differ by more than the step of the differences.
  const value = (i: number): number => ((i * 37) % 1009) / 100;
  for (const window of [
    { K: 3, stride: 2, pad: 1 },
    { K: 2, stride: 2, pad: 0 },
  ]) {
    const made = layer(shape, window, 1, 1, value);
    const { harness, x, y, g, dx } = made;
    const weights = logicalValues(g, g.buffer.data);
    for (const [forward, backward] of [
      [made.maximum, made.maximumBackward],
      [made.average, made.averageBackward],
    ] as const) {
      const gradient = logicalValues(dx, referenceCalls(harness, [forward, backward]).read(dx.buffer));
      checkGradient(harness, [forward], y, weights, x, gradient);
    }
  }
  const { harness, x, y, g, dx, forward, backward } = globalLayer(shape, 1, 2);
  const gradient = logicalValues(dx, referenceCalls(harness, [forward, backward]).read(dx.buffer));
  checkGradient(harness, [forward], y, logicalValues(g, g.buffer.data), x, gradient);
  t.pass();
});
