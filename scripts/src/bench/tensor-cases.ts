/** Cases of the kernels that are bound by memory: normalization, activations, pooling, optimizers, sums. */
import { activationBytes, channelStride } from '@lockstep/shared/kernels/kernel.ts';
import { treeSumScratchBytes } from '@lockstep/shared/kernels/reduction.ts';
import { call } from '@lockstep/shared/kernels/table.ts';
import type { KernelCase, Place } from './kernel-case.ts';

/** One activation of a ResNet-20 shard: 1 MiB without its halo. */
const shape = { N: 16, H: 32, W: 32, C: 16 };
const pixels = shape.N * shape.H * shape.W;
const pooled = { ...shape, K: 2, stride: 2, pad: 0 };
const parameters = 1 << 20;
const slotCount = 8;

/** Places one activation of `shape`. */
function activation(place: Place, halo = 0): number {
  return place(activationBytes(shape.N, shape.H, shape.W, shape.C, halo));
}

/** Places an activation of half the height and width. */
function halved(place: Place): number {
  return place(activationBytes(shape.N, shape.H / 2, shape.W / 2, shape.C, 0));
}

const coefficients = (place: Place): number => place(24 * channelStride(shape.C));

const activationCalls: KernelCase['make'][] = [
  (place) =>
    call('batchNormMoments', {
      z: activation(place),
      from: 0,
      pixels,
      total: pixels,
      C: shape.C,
      moments: place(24 * shape.C),
    }),
  (place) =>
    call('batchNormApply', {
      ...shape,
      z: activation(place),
      coefficients: coefficients(place),
      residual: activation(place, 1),
      residualHalo: 1,
      y: activation(place, 1),
      yHalo: 1,
      relu: 1,
    }),
  (place) =>
    call('batchNormBackwardReduce', {
      ...shape,
      g: activation(place),
      g2: 0,
      y: activation(place, 1),
      yHalo: 1,
      z: activation(place),
      coefficients: coefficients(place),
      masked: activation(place),
      relu: 1,
      sums: place(16 * shape.C),
      accumulate: 0,
    }),
  (place) =>
    call('batchNormBackwardApply', {
      ...shape,
      masked: activation(place),
      z: activation(place),
      coefficients: coefficients(place),
      sums: place(16 * shape.C),
      ownSums: place(16 * shape.C),
      pixels,
      dz: activation(place, 1),
      dzHalo: 1,
      dGamma: place(4 * shape.C),
      dBeta: place(4 * shape.C),
    }),
  (place) =>
    call('biasForward', {
      ...shape,
      z: activation(place),
      bias: place(4 * shape.C),
      y: activation(place, 1),
      yHalo: 1,
      relu: 1,
    }),
  (place) =>
    call('biasBackward', {
      ...shape,
      g: activation(place),
      g2: 0,
      y: activation(place, 1),
      yHalo: 1,
      dz: activation(place, 1),
      dzHalo: 1,
      relu: 1,
      dBias: place(4 * shape.C),
    }),
  (place) =>
    call('reluForward', { ...shape, x: activation(place), xHalo: 0, y: activation(place), yHalo: 0 }),
  (place) =>
    call('reluBackward', {
      ...shape,
      g: activation(place),
      g2: 0,
      y: activation(place, 1),
      yHalo: 1,
      dx: activation(place),
    }),
  (place) =>
    call('addForward', {
      ...shape,
      a: activation(place),
      aHalo: 0,
      b: activation(place),
      bHalo: 0,
      y: activation(place, 1),
      yHalo: 1,
      relu: 1,
    }),
  (place) =>
    call('maxPoolForward', {
      ...pooled,
      x: activation(place),
      xHalo: 0,
      y: halved(place),
      yHalo: 0,
      positions: halved(place),
    }),
  (place) =>
    call('averagePoolForward', { ...pooled, x: activation(place), xHalo: 0, y: halved(place), yHalo: 0 }),
  (place) =>
    call('maxPoolBackward', {
      ...pooled,
      g: halved(place),
      positions: halved(place),
      dx: activation(place),
    }),
  (place) => call('globalAveragePoolForward', { ...shape, x: activation(place), xHalo: 0, y: place(4096) }),
];

const vectorCalls: KernelCase['make'][] = [
  (place) =>
    call('add', {
      a: place(4 * parameters),
      b: place(4 * parameters),
      out: place(4 * parameters),
      floats: parameters,
    }),
  (place) => {
    const [w, m] = [place(4 * parameters), place(4 * parameters)];
    return call('sgdUpdate', {
      w,
      g: place(4 * parameters),
      m,
      wOut: w,
      mOut: m,
      n: parameters,
      gradientScale: 1 / 128,
      lr: 1e-6,
      momentum: 0.9,
      nesterov: 0,
      weightDecay: 1e-4,
    });
  },
  (place) => {
    const vector = () => place(4 * parameters);
    return call('adamUpdate', {
      w: vector(),
      g: vector(),
      m: vector(),
      v: vector(),
      wOut: vector(),
      mOut: vector(),
      vOut: vector(),
      n: parameters,
      gradientScale: 1 / 128,
      lr: 1e-3,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      correction1: 0.1,
      correction2: 0.001,
      weightDecay: 0.01,
      decoupled: 1,
    });
  },
  (place) => {
    // Eight slots, each alone.
    const schedule = [0, 1, -1, 2, 3, -1, -1, 4, 5, -1, 6, 7, -1, -1, -1];
    return call('treeSum', {
      slots: place(4 * parameters * slotCount),
      slotBytes: 4 * parameters,
      schedule: place(4 * schedule.length, schedule),
      scheduleLength: schedule.length,
      from: 0,
      n: parameters,
      dtype: 0,
      out: place(4 * parameters),
      scratch: place(treeSumScratchBytes(parameters)),
    });
  },
  (place) => call('countNonFinite', { p: place(4 * parameters), n: parameters }),
];

export const tensorCases: readonly KernelCase[] = [
  ...activationCalls.map((make) => ({ label: '16 x 32 x 32 x 16', make })),
  ...vectorCalls.map((make) => ({ label: '2^20 floats', make })),
];
