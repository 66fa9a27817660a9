import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import test from 'ava';
import fc from 'fast-check';
import { checkGradient } from '../../helpers/finite-difference.ts';
import {
  checkCalls,
  flags,
  halos,
  inputTensor,
  logicalValues,
  noise,
  outputTensor,
  seeds,
  shapes,
  tensorOutput,
  runCalls,
  referenceCalls,
} from '../../helpers/kernel-check.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

test('reluForward is exact', (t) => {
  fc.assert(
    fc.property(shapes, halos, halos, flags, seeds, (shape, xHalo, yHalo, inPlace, seed) => {
      const harness = new KernelHarness();
      const x = inputTensor(harness, shape, xHalo, noise(seed));
      const y = inPlace ? x : outputTensor(harness, shape, yHalo);
      const named = { x: x.buffer.offset, xHalo, y: y.buffer.offset, yHalo: y.halo, ...shape };
      checkCalls(harness, [['reluForward', named]], [tensorOutput('y', y, 0)]);
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('reluBackward is exact up to the rounding of one addition', (t) => {
  fc.assert(
    fc.property(shapes, halos, flags, flags, seeds, (shape, yHalo, two, inPlace, seed) => {
      const harness = new KernelHarness();
      const g = inputTensor(harness, shape, 0, noise(seed));
      const g2 = inputTensor(harness, shape, 0, noise(seed + 1));
      const y = inputTensor(harness, shape, yHalo, (i) => Math.max(0, noise(seed + 2)(i)));
      const dx = inPlace ? g : outputTensor(harness, shape);
      const places = { g: g.buffer.offset, g2: two ? g2.buffer.offset : 0, dx: dx.buffer.offset };
      const named = { ...places, y: y.buffer.offset, yHalo, ...shape };
      checkCalls(harness, [['reluBackward', named]], [tensorOutput('dx', dx, 2e-7, 1)]);
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('addForward agrees with its reference', (t) => {
  const haloes = fc.record({ aHalo: halos, bHalo: halos, yHalo: halos });
  fc.assert(
    fc.property(shapes, haloes, flags, flags, seeds, (shape, halo, relu, inPlace, seed) => {
      const harness = new KernelHarness();
      const a = inputTensor(harness, shape, halo.aHalo, noise(seed));
      const b = inputTensor(harness, shape, halo.bHalo, noise(seed + 1));
      const y = inPlace ? a : outputTensor(harness, shape, halo.yHalo);
      const places = { a: a.buffer.offset, b: b.buffer.offset, y: y.buffer.offset };
      const named = { ...places, ...halo, yHalo: y.halo, ...shape, relu };
      checkCalls(harness, [['addForward', named]], [tensorOutput('y', y, 2e-7, 1)]);
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('a NaN passes through relu, an infinity through both', (t) => {
  const shape = { N: 1, H: 1, W: 1, C: 4 };
  const harness = new KernelHarness();
  const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0];
  const x = inputTensor(harness, shape, 0, (i) => special[i] as number);
  const y = outputTensor(harness, shape);
  const named = { x: x.buffer.offset, xHalo: 0, y: y.buffer.offset, yHalo: 0, ...shape };
  for (const build of buildNames) {
    const found = runCalls(harness, build, [['reluForward', named]]).read(y.buffer);
    t.deepEqual([...found].map(Math.abs), [Number.NaN, Number.POSITIVE_INFINITY, 0, 0]);
  }
});

test('the backward reference is the derivative of the forward reference', (t) => {
  const shape = { N: 2, H: 3, W: 4, C: 5 };
  const harness = new KernelHarness();
  const x = inputTensor(harness, shape, 1, (i) => noise(1)(i) + Math.sign(noise(1)(i)) * 0.1);
  const y = outputTensor(harness, shape, 2);
  const g = inputTensor(harness, shape, 0, noise(3));
  const dx = outputTensor(harness, shape);
  const output = { y: y.buffer.offset, yHalo: 2, ...shape };
  const forward = [['reluForward', { ...output, x: x.buffer.offset, xHalo: 1 }]] as const;
  const backward = ['reluBackward', { ...output, g: g.buffer.offset, g2: 0, dx: dx.buffer.offset }] as const;
  const gradient = logicalValues(dx, referenceCalls(harness, [...forward, backward]).read(dx.buffer));
  checkGradient(harness, forward, y, logicalValues(g, g.buffer.data), x, gradient);
  t.pass();
});
