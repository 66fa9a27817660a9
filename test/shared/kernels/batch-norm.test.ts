import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { channelStride } from '@lockstep/shared/kernels/kernel.ts';
import test from 'ava';
import fc from 'fast-check';
import {
  checkCalls,
  filledShapes,
  flags,
  halos,
  inputTensor,
  noise,
  outputTensor,
  type Shape,
  seeds,
  tensorOutput,
  runCalls,
  referenceCalls,
} from '../../helpers/kernel-check.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

const epsilon = Math.fround(1e-5);

interface Case {
  readonly shape: Shape;
  readonly residual: number;
  readonly residualHalo: number;
  readonly yHalo: number;
  readonly relu: number;
  readonly offset: number;
  readonly seed: number;
}

/** Moments, coefficients and application of one batch-norm layer. */
function layer(c: Case) {
  const { N, H, W, C } = c.shape;
  const harness = new KernelHarness();
  const value = noise(c.seed);
  const z = inputTensor(harness, c.shape, 0, (i) => c.offset + value(i));
  const residual = inputTensor(harness, c.shape, c.residualHalo, noise(c.seed + 1));
  const gamma = harness.buffer('f32', C, (i) => 1 + 0.5 * noise(c.seed + 2)(i));
  const beta = harness.buffer('f32', C, noise(c.seed + 3));
  const moments = harness.buffer('f64', 2 * C, () => 77);
  const coefficients = harness.buffer('f32', 4 * channelStride(C), () => 77);
  const y = outputTensor(harness, c.shape, c.yHalo);
  const pixels = N * H * W;
  const half = pixels > 1 ? Math.ceil(pixels / 3) : 0;
  const gathered = { z: z.buffer.offset, C, moments: moments.offset, total: pixels };
  const calls = [
    // Gathered in two calls, as programs do it image by image.
    ['batchNormMoments', { ...gathered, from: 0, pixels: half }],
    ['batchNormMoments', { ...gathered, from: half, pixels: pixels - half }],
    [
      'batchNormCoefficients',
      {
        moments: moments.offset,
        pixels,
        gamma: gamma.offset,
        beta: beta.offset,
        epsilon,
        C,
        coefficients: coefficients.offset,
      },
    ],
    [
      'batchNormApply',
      {
        z: z.buffer.offset,
        coefficients: coefficients.offset,
        residual: c.residual ? residual.buffer.offset : 0,
        residualHalo: c.residualHalo,
        y: y.buffer.offset,
        yHalo: c.yHalo,
        N,
        H,
        W,
        C,
        relu: c.relu,
      },
    ],
  ] as const;
  return { harness, z, gamma, beta, moments, coefficients, y, calls };
}

const cases: fc.Arbitrary<Case> = fc.record({
  shape: filledShapes,
  residual: flags,
  residualHalo: halos,
  yHalo: halos,
  relu: flags,
  offset: fc.constantFrom(0, 0.5, -3),
  seed: seeds,
});

test('moments, coefficients and application agree with the reference', (t) => {
  fc.assert(
    fc.property(cases, (c) => {
      // One pixel has no variance: 1/sqrt(epsilon) then multiplies rounding errors by 300.
      const tolerance = c.shape.N * c.shape.H * c.shape.W < 4 ? 1e-3 : 2e-5;
      const made = layer(c);
      checkCalls(made.harness, made.calls, [
        { name: 'moments', buffer: made.moments, tolerance: 1e-5 },
        { name: 'coefficients', buffer: made.coefficients, tolerance },
        tensorOutput('y', made.y, tolerance, 0.1),
      ]);
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('images longer than a block of rows, and narrower and wider ones', (t) => {
  for (const [H, W, C] of [
    [300, 1, 17],
    [1, 300, 16],
    [40, 7, 20],
    [5, 70, 33],
  ] as const) {
    const shape = { N: 2, H, W, C };
    const made = layer({ shape, residual: 1, residualHalo: 1, yHalo: 2, relu: 1, offset: 0, seed: 5 });
    checkCalls(made.harness, made.calls, [
      { name: 'moments', buffer: made.moments, tolerance: 1e-5 },
      tensorOutput('y', made.y, 5e-6),
    ]);
  }
  t.pass();
});

test('a mean a thousand deviations from zero costs no accuracy', (t) => {
  const shape = { N: 4, H: 16, W: 16, C: 19 };
  const made = layer({ shape, residual: 0, residualHalo: 0, yHalo: 1, relu: 0, offset: 1000, seed: 9 });
  checkCalls(made.harness, made.calls.slice(0, 2), [
    { name: 'moments', buffer: made.moments, tolerance: 1e-6 },
  ]);
  const reference = referenceCalls(made.harness, made.calls).read(made.moments);
  for (const build of buildNames) {
    const moments = runCalls(made.harness, build, made.calls).read(made.moments);
    for (let c = 0; c < 19; c++) {
      const [mean, M2] = [reference[2 * c] as number, reference[2 * c + 1] as number];
      t.true(Math.abs((moments[2 * c] as number) - mean) < 1e-6 * Math.sqrt(M2 / 1024));
      t.true(Math.abs((moments[2 * c + 1] as number) / M2 - 1) < 1e-6);
    }
  }
  // z itself is only known to 6e-5 here.
  checkCalls(made.harness, made.calls, [tensorOutput('y', made.y, 3e-4)]);
});

test('no pixels have moments of zero; a NaN reaches its channel alone', (t) => {
  const shape = { N: 1, H: 2, W: 3, C: 5 };
  const made = layer({ shape, residual: 0, residualHalo: 0, yHalo: 0, relu: 1, offset: 0, seed: 1 });
  const [name, named] = made.calls[0];
  for (const build of buildNames) {
    const none = runCalls(made.harness, build, [[name, { ...named, pixels: 0 }]]).read(made.moments);
    t.true(none.every((x: number) => x === 0));
  }
  made.z.buffer.data[channelStride(5) + 2] = Number.NaN;
  for (const build of buildNames) {
    const run = runCalls(made.harness, build, made.calls);
    const moments = run.read(made.moments);
    const y = run.read(made.y.buffer);
    for (let c = 0; c < 5; c++) {
      t.is(Number.isNaN(moments[2 * c + 1]), c === 2);
      t.is(Number.isNaN(y[c]), c === 2);
    }
  }
});

test('running statistics give the same table', (t) => {
  for (let C = 1; C < 38; C++) {
    const harness = new KernelHarness();
    const runningMean = harness.buffer('f32', C, noise(C));
    const runningVariance = harness.buffer('f32', C, (i) => 1.1 + noise(C + 1)(i));
    const gamma = harness.buffer('f32', C, noise(C + 2));
    const beta = harness.buffer('f32', C, noise(C + 3));
    const coefficients = harness.buffer('f32', 4 * channelStride(C), () => 77);
    const named = {
      runningMean: runningMean.offset,
      runningVariance: runningVariance.offset,
      gamma: gamma.offset,
      beta: beta.offset,
      epsilon,
      C,
      coefficients: coefficients.offset,
    };
    const tensor = { N: 4, H: 1, W: 1, C, halo: 0, buffer: coefficients };
    checkCalls(
      harness,
      [['batchNormRunningCoefficients', named]],
      [tensorOutput('coefficients', tensor, 3e-7)],
    );
  }
  t.pass();
});
