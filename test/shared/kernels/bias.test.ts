import { channelStride } from '@lockstep/shared/kernels/kernel.ts';
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
  referenceCalls,
} from '../../helpers/kernel-check.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

const cases = fc.record({ shape: shapes, yHalo: halos, relu: flags, inPlace: flags, seed: seeds });

test('biasForward agrees with its reference, whatever lies in the padding lanes of z', (t) => {
  fc.assert(
    fc.property(cases, fc.constantFrom(77, Number.NaN), ({ shape, yHalo, relu, inPlace, seed }, junk) => {
      const harness = new KernelHarness();
      const z = inputTensor(harness, shape, 0, noise(seed));
      z.buffer.data.forEach((_, i) => {
        if (i % channelStride(shape.C) >= shape.C) z.buffer.data[i] = junk;
      });
      const bias = harness.buffer('f32', shape.C, noise(seed + 1));
      const y = inPlace ? z : outputTensor(harness, shape, yHalo);
      const { N, H, W, C } = shape;
      const places = { z: z.buffer.offset, bias: bias.offset, y: y.buffer.offset, yHalo: y.halo };
      checkCalls(
        harness,
        [['biasForward', { ...places, N, H, W, C, relu }]],
        [tensorOutput('y', y, 2e-7, 1)],
      );
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('biasBackward agrees with its reference', (t) => {
  const more = fc.record({ two: flags, dzHalo: halos });
  fc.assert(
    fc.property(cases, more, ({ shape, yHalo, relu, inPlace, seed }, { two, dzHalo }) => {
      const harness = new KernelHarness();
      const g = inputTensor(harness, shape, 0, noise(seed));
      const g2 = inputTensor(harness, shape, 0, noise(seed + 1));
      const y = inputTensor(harness, shape, yHalo, (i) => Math.max(0, noise(seed + 2)(i)));
      const dz = inPlace ? g : outputTensor(harness, shape, dzHalo);
      const dBias = harness.buffer('f32', shape.C, () => 77);
      const { N, H, W, C } = shape;
      const places = { g: g.buffer.offset, g2: two ? g2.buffer.offset : 0, dBias: dBias.offset };
      const named = {
        ...places,
        y: relu ? y.buffer.offset : 0,
        yHalo,
        dz: dz.buffer.offset,
        dzHalo: dz.halo,
      };
      checkCalls(
        harness,
        [['biasBackward', { ...named, N, H, W, C, relu }]],
        [tensorOutput('dz', dz, 2e-7, 1), { name: 'dBias', buffer: dBias, tolerance: 1e-6, floor: 1 }],
      );
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('the backward reference is the derivative of the forward reference', (t) => {
  const shape = { N: 2, H: 3, W: 4, C: 5 };
  const { N, H, W, C } = shape;
  for (const relu of [0, 1]) {
    const harness = new KernelHarness();
    const away = (i: number): number => noise(1)(i) + Math.sign(noise(1)(i)) * 0.1;
    const z = inputTensor(harness, shape, 0, away);
    const bias = harness.buffer('f32', C, (i) => 0.05 * noise(2)(i));
    const y = outputTensor(harness, shape, 1);
    const g = inputTensor(harness, shape, 0, noise(3));
    const dz = outputTensor(harness, shape, 2);
    const dBias = harness.buffer('f32', C);
    const shared = { y: y.buffer.offset, yHalo: 1, N, H, W, C, relu };
    const forward = [['biasForward', { ...shared, z: z.buffer.offset, bias: bias.offset }]] as const;
    const backward = [
      'biasBackward',
      { ...shared, g: g.buffer.offset, g2: 0, dz: dz.buffer.offset, dzHalo: 2, dBias: dBias.offset },
    ] as const;
    const all = referenceCalls(harness, [...forward, backward]);
    const weights = logicalValues(g, g.buffer.data);
    checkGradient(harness, forward, y, weights, z, logicalValues(dz, all.read(dz.buffer)));
    checkGradient(harness, forward, y, weights, bias, all.read(dBias));
  }
  t.pass();
});
