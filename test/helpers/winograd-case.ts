/** Winograd convolutions: shape, buffers with halos, and the calls of all three passes. */
import { convBackwardWeightsScratchBytes } from '@lockstep/shared/kernels/convolution.ts';
import { outputSize } from '@lockstep/shared/kernels/convolution-geometry.ts';
import {
  type WinogradShape,
  winogradBackwardDataScratchBytes,
  winogradBackwardWeightsScratchBytes,
  winogradPackedBackwardDataBytes,
  winogradPackedBytes,
  winogradScratchBytes,
  winogradSumsBytes,
} from '@lockstep/shared/kernels/winograd-geometry.ts';
import fc from 'fast-check';
import { type Calls, inputTensor, outputTensor } from './kernel-check.ts';
import { KernelHarness } from './kernel-harness.ts';

export interface WinogradCase extends WinogradShape {
  /** Halo of x beyond pad, halo of y, halo of dy. */
  readonly halos: readonly [number, number, number];
  readonly seed: number;
}

export interface WinogradLimits {
  readonly N?: number;
  readonly size?: number;
  readonly channels?: number;
}

/** Stride 1 with every pad, and stride 2 with the one that its kernels know. */
const steps = [
  { stride: 1, pad: 0 },
  { stride: 1, pad: 1 },
  { stride: 1, pad: 2 },
  { stride: 2, pad: 1 },
  { stride: 2, pad: 1 },
] as const;

/** Any shape with at least one output pixel in an image; perhaps no image. */
export function winogradCases(limits: WinogradLimits = {}): fc.Arbitrary<WinogradCase> {
  const { N = 4, size = 13, channels = 37 } = limits;
  const upTo = (max: number) => fc.integer({ min: 1, max });
  return fc
    .record({
      N: fc.nat(N),
      H: upTo(size),
      W: upTo(size),
      IC: upTo(channels),
      OC: upTo(channels),
      step: fc.constantFrom(...steps),
      halos: fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2)),
      seed: fc.nat(1000),
    })
    .map(({ step, ...rest }) => ({ ...rest, ...step }))
    .filter((c) => Math.min(c.H, c.W) + 2 * c.pad >= 3);
}

/**
 * Values of a standard normal distribution, the same for every (seed, i): Box and Muller, from a hash of i.
 */
export function gaussian(seed: number): (i: number) => number {
  const uniform = (i: number): number => {
    let x = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
    x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
    return (((x ^ (x >>> 15)) >>> 0) + 0.5) / 2 ** 32;
  };
  return (i) => Math.sqrt(-2 * Math.log(uniform(2 * i))) * Math.cos(2 * Math.PI * uniform(2 * i + 1));
}

/** What the direct kernels want to know beside a case. */
const kernel = { KH: 3, KW: 3 } as const;

/**
 * Buffers of one case, with its Winograd `calls` and the `direct` ones for the same buffers, on N(0, 1)
 * values. Scratch and packed filters start as NaN.
 */
export function setUpWinograd(c: WinogradCase) {
  const harness = new KernelHarness();
  const { N, H, W, IC, OC, stride, pad } = c;
  const [OH, OW] = [outputSize(H, 3, stride, pad), outputSize(W, 3, stride, pad)];
  const [xHalo, yHalo, dyHalo] = [pad + c.halos[0], c.halos[1], c.halos[2]];
  const nan = (bytes: number) => harness.buffer('f32', bytes / 4, () => Number.NaN);
  const x = inputTensor(harness, { N, H, W, C: IC }, xHalo, gaussian(3 * c.seed));
  const dy = inputTensor(harness, { N, H: OH, W: OW, C: OC }, dyHalo, gaussian(3 * c.seed + 1));
  const w = harness.buffer('f32', 9 * IC * OC, gaussian(3 * c.seed + 2));
  const y = outputTensor(harness, { N, H: OH, W: OW, C: OC }, yHalo);
  const dx = outputTensor(harness, { N, H, W, C: IC });
  const dw = nan(36 * IC * OC);
  const packed = nan(winogradPackedBytes(IC, OC)).offset;
  const packedBack = nan(winogradPackedBackwardDataBytes(IC, OC)).offset;
  const shape = { N, H, W, IC, OC, stride, pad };
  const [xs, dys] = [
    { x: x.buffer.offset, xHalo },
    { dy: dy.buffer.offset, dyHalo },
  ];
  const scratch = {
    y: nan(winogradScratchBytes(c)).offset,
    dx: nan(winogradBackwardDataScratchBytes(c)).offset,
    dw: nan(
      Math.max(
        winogradBackwardWeightsScratchBytes(c),
        convBackwardWeightsScratchBytes({ ...shape, ...kernel }),
      ),
    ).offset,
  };
  const sums = nan(winogradSumsBytes(c));
  const weights = { w: w.offset, IC, OC, stride, fromTap: 0, toTap: 9 };
  const forward = { ...xs, packed, y: y.buffer.offset, yHalo, ...shape };
  const data = { ...dys, packed: packedBack, dx: dx.buffer.offset, ...shape };
  const gradient = { ...xs, ...dys, dw: dw.offset, ...shape, accumulate: 0, scratch: scratch.dw };
  const calls: Calls = [
    ['winogradPackForward', { ...weights, packed }],
    ['winogradForward', { ...forward, scratch: scratch.y }],
    ['winogradPackBackwardData', { ...weights, packed: packedBack }],
    ['winogradBackwardData', { ...data, scratch: scratch.dx }],
    ['winogradBackwardWeights', { ...gradient, finish: 1, sums: sums.offset }],
  ];
  const direct: Calls = [
    ['convPackForward', { ...weights, packed, ...kernel }],
    ['convForward', { ...forward, ...kernel }],
    ['convPackBackwardData', { ...weights, packed: packedBack, ...kernel, pad }],
    ['convBackwardData', { ...data, ...kernel }],
    ['convBackwardWeights', { ...gradient, ...kernel }],
  ];
  return { harness, calls, direct, x, w, dy, y, dx, dw };
}
