/** Random convolutions: shape, buffers with halos, and the calls of all three passes. */
import {
  backwardDataHalo,
  convBackwardWeightsScratchBytes,
  convPackedBackwardDataBytes,
  convPackedBytes,
} from '@lockstep/shared/kernels/convolution.ts';
import { type ConvolutionShape, outputSize } from '@lockstep/shared/kernels/convolution-geometry.ts';
import { channelStride } from '@lockstep/shared/kernels/kernel.ts';
import type { KernelArguments, KernelName } from '@lockstep/shared/kernels/table.ts';
import fc from 'fast-check';
import { KernelHarness, type TestBuffer } from './kernel-harness.ts';

export interface ConvolutionCase extends ConvolutionShape {
  /** Pixels of halo beyond what is needed, for x, y and dy. */
  readonly extra: readonly [number, number, number];
  readonly seed: number;
}

export interface CaseLimits {
  readonly N?: number;
  readonly size?: number;
  readonly channels?: number;
  readonly kernel?: number;
}

/** Any convolution with at least one output pixel and pad < kernel. */
export function convolutionCases(limits: CaseLimits = {}): fc.Arbitrary<ConvolutionCase> {
  const { N = 5, size = 14, channels = 37, kernel = 5 } = limits;
  const upTo = (max: number) => fc.integer({ min: 1, max });
  return fc
    .record({
      N: upTo(N),
      H: upTo(size),
      W: upTo(size),
      IC: upTo(channels),
      OC: upTo(channels),
      KH: upTo(kernel),
      KW: upTo(kernel),
      stride: upTo(3),
      pad: fc.integer({ min: 0, max: kernel - 1 }),
      extra: fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2)),
      seed: fc.nat(1000),
    })
    .filter((c) => c.pad < Math.min(c.KH, c.KW) && Math.min(c.H - c.KH, c.W - c.KW) + 2 * c.pad >= 0);
}

/** Output height and width. */
export function outputOf(c: ConvolutionShape): readonly [number, number] {
  return [outputSize(c.H, c.KH, c.stride, c.pad), outputSize(c.W, c.KW, c.stride, c.pad)];
}

/** The logical values [N][H][W][C] of an activation with halo, in order. */
export function interior(
  values: ArrayLike<number>,
  [N, H, W, C]: readonly [number, number, number, number],
  halo: number,
): Float64Array {
  const found = new Float64Array(N * H * W * C);
  const stride = channelStride(C);
  let at = 0;
  for (let n = 0; n < N; n++) {
    for (let y = 0; y < H; y++) {
      for (let x = 0; x < W; x++) {
        const from = ((n * (H + 2 * halo) + y + halo) * (W + 2 * halo) + x + halo) * stride;
        for (let c = 0; c < C; c++) found[at++] = values[from + c] as number;
      }
    }
  }
  return found;
}

/** A buffer of an activation whose halo and padding lanes are zero. */
function activation(
  harness: KernelHarness,
  [N, H, W, C]: readonly [number, number, number, number],
  halo: number,
  value: (i: number) => number,
): TestBuffer {
  const stride = channelStride(C);
  return harness.buffer('f32', N * (H + 2 * halo) * (W + 2 * halo) * stride, (i) => {
    const pixel = Math.floor(i / stride);
    const x = (pixel % (W + 2 * halo)) - halo;
    const y = (Math.floor(pixel / (W + 2 * halo)) % (H + 2 * halo)) - halo;
    return i % stride < C && x >= 0 && x < W && y >= 0 && y < H ? value(i) : 0;
  });
}

/** A call checked against its kernel here, because one list for the harness holds several kernels. */
function checked<K extends KernelName>(kernel: K, named: KernelArguments<K>): readonly [KernelName, never] {
  return [kernel, named as never];
}

/** Buffers and calls of one convolution. What the kernels must overwrite starts as NaN. */
export function setUpConvolution(c: ConvolutionCase) {
  const harness = new KernelHarness();
  const [OH, OW] = outputOf(c);
  const { N, H, W, IC, OC, KH, KW, stride, pad } = c;
  const xHalo = pad + c.extra[0];
  const yHalo = c.extra[1];
  const dyHalo = backwardDataHalo(H, W, KH, KW, stride, pad) + c.extra[2];
  const nan = () => Number.NaN;
  const x = activation(harness, [N, H, W, IC], xHalo, (i) => Math.sin(i * 1.3 + c.seed));
  const w = harness.buffer('f32', KH * KW * IC * OC, (i) => Math.cos(i * 2.1 + c.seed));
  const dy = activation(harness, [N, OH, OW, OC], dyHalo, (i) => Math.sin(i * 0.7 - c.seed));
  const packed = harness.buffer('f32', convPackedBytes(KH, KW, IC, OC) / 4, nan);
  const packedBack = harness.buffer('f32', convPackedBackwardDataBytes(KH, KW, IC, OC) / 4, nan);
  const y = harness.buffer('f32', N * (OH + 2 * yHalo) * (OW + 2 * yHalo) * channelStride(OC), nan);
  const dx = harness.buffer('f32', N * H * W * channelStride(IC), nan);
  const dw = harness.buffer('f32', KH * KW * IC * OC, nan);
  const scratch = harness.buffer('f32', convBackwardWeightsScratchBytes(c) / 4, nan);
  const shape = { N, H, W, IC, OC, KH, KW, stride, pad };
  const pack = { w: w.offset, KH, KW, IC, OC, fromTap: 0, toTap: KH * KW };
  const calls = [
    checked('convPackForward', { ...pack, packed: packed.offset }),
    checked('convForward', { x: x.offset, xHalo, packed: packed.offset, y: y.offset, yHalo, ...shape }),
    checked('convPackBackwardData', { ...pack, packed: packedBack.offset, stride, pad }),
    checked('convBackwardData', {
      dy: dy.offset,
      dyHalo,
      packed: packedBack.offset,
      dx: dx.offset,
      ...shape,
    }),
    checked('convBackwardWeights', {
      ...shape,
      x: x.offset,
      xHalo,
      dy: dy.offset,
      dyHalo,
      dw: dw.offset,
      accumulate: 0,
      scratch: scratch.offset,
    }),
  ];
  return { harness, calls, x, w, dy, y, dx, dw, halos: { xHalo, yHalo, dyHalo } };
}
