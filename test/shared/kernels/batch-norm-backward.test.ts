import { activationBytes, channelStride } from '@lockstep/shared/kernels/kernel.ts';
import test from 'ava';
import fc from 'fast-check';
import { checkGradient } from '../../helpers/finite-difference.ts';
import {
  checkCalls,
  filledShapes,
  flags,
  halos,
  inputTensor,
  logicalValues,
  noise,
  outputTensor,
  type Shape,
  seeds,
  tensorOutput,
  referenceCalls,
} from '../../helpers/kernel-check.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

interface Case {
  readonly shape: Shape;
  readonly two: number;
  readonly relu: number;
  readonly yHalo: number;
  readonly dzHalo: number;
  readonly inPlace: number;
  readonly seed: number;
}

const epsilon = Math.fround(1e-5);

/** Forward and backward of one layer; forward outputs are inputs of backward. */
function layer(c: Case) {
  const { N, H, W, C } = c.shape;
  const harness = new KernelHarness();
  const pixels = N * H * W;
  const floats = channelStride(C);
  const z = inputTensor(harness, c.shape, 0, (i) => 3 + noise(c.seed)(i));
  const g = inputTensor(harness, c.shape, 0, noise(c.seed + 1));
  const g2 = inputTensor(harness, c.shape, 0, noise(c.seed + 2));
  const gamma = harness.buffer('f32', C, (i) => 1 + 0.5 * noise(c.seed + 3)(i));
  const beta = harness.buffer('f32', C, noise(c.seed + 4));
  const moments = harness.buffer('f64', 2 * C);
  const coefficients = harness.buffer('f32', 6 * floats);
  const y = outputTensor(harness, c.shape, c.yHalo);
  const masked = c.inPlace ? g : outputTensor(harness, c.shape);
  const dz = outputTensor(harness, c.shape, c.dzHalo);
  const sums = harness.buffer('f64', 2 * C, () => 77);
  const dGamma = harness.buffer('f32', C, () => 77);
  const dBeta = harness.buffer('f32', C, () => 77);
  const tensors = { z: z.buffer.offset, coefficients: coefficients.offset, N, H, W, C };
  const forward = [
    ['batchNormMoments', { z: z.buffer.offset, pixels, C, moments: moments.offset, from: 0, total: pixels }],
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
        ...tensors,
        residual: 0,
        residualHalo: 0,
        y: y.buffer.offset,
        yHalo: c.yHalo,
        relu: c.relu,
      },
    ],
  ] as const;
  /** The sums over images `from` .. `from + count`. */
  const reduce = (from: number, count: number) => {
    const skip = from * activationBytes(1, H, W, C, 0);
    const places = {
      N: count,
      z: z.buffer.offset + skip,
      g: g.buffer.offset + skip,
      g2: c.two ? g2.buffer.offset + skip : 0,
      y: y.buffer.offset + from * activationBytes(1, H, W, C, c.yHalo),
      masked: masked.buffer.offset + skip,
      accumulate: Number(from > 0),
    };
    const rest = { yHalo: c.yHalo, relu: c.relu, sums: sums.offset };
    return ['batchNormBackwardReduce', { ...tensors, ...places, ...rest }] as const;
  };
  // Gathered in two calls where there are two images, as programs do it.
  const split = Math.ceil(N / 2);
  const backward = [
    reduce(0, split),
    ...(N > 1 ? [reduce(split, N - split)] : []),
    [
      'batchNormBackwardApply',
      {
        ...tensors,
        masked: masked.buffer.offset,
        sums: sums.offset,
        ownSums: sums.offset,
        pixels,
        dz: dz.buffer.offset,
        dzHalo: c.dzHalo,
        dGamma: dGamma.offset,
        dBeta: dBeta.offset,
      },
    ],
  ] as const;
  return {
    harness,
    z,
    g,
    g2,
    gamma,
    beta,
    coefficients,
    y,
    masked,
    dz,
    sums,
    dGamma,
    dBeta,
    forward,
    backward,
  };
}

const cases: fc.Arbitrary<Case> = fc.record({
  shape: filledShapes,
  two: flags,
  relu: flags,
  yHalo: halos,
  dzHalo: halos,
  inPlace: flags,
  seed: seeds,
});

/** Backward kernels on given y and coefficients, so that a y near 0 is on the same side for all. */
function checkBackward(c: Case): void {
  const made = layer(c);
  const { harness } = made;
  const forward = referenceCalls(harness, made.forward);
  made.y.buffer.data.set(forward.read(made.y.buffer).map(Math.fround));
  made.coefficients.data.set(forward.read(made.coefficients).map(Math.fround));
  const scale = Math.max(...made.coefficients.data.map(Math.abs));
  checkCalls(harness, made.backward, [
    tensorOutput('masked', made.masked, 2e-7, 1),
    { name: 'sums', buffer: made.sums, tolerance: 3e-6, floor: 1 },
    { name: 'dGamma', buffer: made.dGamma, tolerance: 3e-6, floor: 1 },
    { name: 'dBeta', buffer: made.dBeta, tolerance: 3e-6, floor: 1 },
    // Where dz cancels to nothing (few pixels) the error is that of its terms, about |scale*m|.
    tensorOutput('dz', made.dz, 3e-6, scale),
  ]);
}

test('the two passes agree with the reference', (t) => {
  fc.assert(fc.property(cases, checkBackward), { includeErrorInReport: true });
  for (const [H, W, C] of [
    [300, 1, 17],
    [3, 90, 16],
    [40, 7, 20],
  ] as const) {
    const flagged = { two: 1, relu: 1, yHalo: 1, dzHalo: 1, inPlace: 1, seed: 3 };
    checkBackward({ ...flagged, shape: { N: 2, H, W, C } });
  }
  t.pass();
});

test('the reference is the derivative of the forward reference', (t) => {
  fc.assert(
    fc.property(cases, (drawn) => {
      const shape = { ...drawn.shape, N: 2, H: 3, C: Math.min(drawn.shape.C, 9) };
      const made = layer({ ...drawn, shape, inPlace: 0, two: 0 });
      const { harness } = made;
      // Away from the kink of the relu, or without it: at worst every y is positive.
      if (drawn.relu) made.beta.data.fill(4);
      const all = referenceCalls(harness, [...made.forward, ...made.backward]);
      const weights = logicalValues(made.g, made.g.buffer.data);
      const { forward, y, z } = made;
      checkGradient(harness, forward, y, weights, z, logicalValues(made.dz, all.read(made.dz.buffer)));
      checkGradient(harness, forward, y, weights, made.gamma, all.read(made.dGamma));
      checkGradient(harness, forward, y, weights, made.beta, all.read(made.dBeta));
    }),
    { numRuns: 12, includeErrorInReport: true },
  );
  t.pass();
});
