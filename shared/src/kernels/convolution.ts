/**
 * Direct convolution in its three passes, and packing of its weights. Shapes are as in ARCHITECTURE.md, Tensors.
 *
 * A packed buffer is opaque: each build has its own layout. The references keep a plain copy of the logical weights in it.
 */
import { convolutionBytes, convolutionFlops, outputSize } from './convolution-geometry.ts';
import { activationIndex, channelStride, defineKernel, type ReferenceMemory } from './kernel.ts';

export {
  backwardDataHalo,
  convBackwardWeightsScratchBytes,
  convPackedBackwardDataBytes,
  convPackedBytes,
} from './convolution-geometry.ts';

interface WeightArguments {
  readonly w: number;
  readonly packed: number;
  readonly KH: number;
  readonly KW: number;
  readonly IC: number;
  readonly OC: number;
  /** Taps [fromTap, toTap) of the KH * KW, of which `w` holds only these. */
  readonly fromTap: number;
  readonly toTap: number;
}

function copyWeights({ values }: ReferenceMemory, a: WeightArguments): void {
  const tap = a.IC * a.OC;
  values.copyWithin(a.packed / 4 + a.fromTap * tap, a.w / 4, a.w / 4 + (a.toTap - a.fromTap) * tap);
}

function weightBytes(a: WeightArguments): number {
  return 8 * (a.toTap - a.fromTap) * a.IC * a.OC;
}

interface Taps {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly KH: number;
  readonly KW: number;
  readonly stride: number;
  readonly pad: number;
}

/** Visits every pair of an output pixel and a kernel place; (y, x) is the input pixel, perhaps in the halo. */
function forEachTap(
  a: Taps,
  visit: (n: number, oy: number, ox: number, y: number, x: number, place: number) => void,
): void {
  const OH = outputSize(a.H, a.KH, a.stride, a.pad);
  const OW = outputSize(a.W, a.KW, a.stride, a.pad);
  for (let n = 0; n < a.N; n++) {
    for (let oy = 0; oy < OH; oy++) {
      for (let ox = 0; ox < OW; ox++) {
        for (let kh = 0; kh < a.KH; kh++) {
          for (let kw = 0; kw < a.KW; kw++) {
            visit(n, oy, ox, oy * a.stride + kh - a.pad, ox * a.stride + kw - a.pad, kh * a.KW + kw);
          }
        }
      }
    }
  }
}

export const convolutionKernels = {
  /**
   * Packs taps [fromTap, toTap) of w [KH][KW][IC][OC] for `convForward`, `w` pointing to the first of them; `packed` has
   * `convPackedBytes(KH, KW, IC, OC)` bytes.
   */
  convPackForward: defineKernel({
    parameters: ['w', 'packed', 'KH', 'KW', 'IC', 'OC', 'fromTap', 'toTap'],
    group: 'pack',
    flops: () => 0,
    bytes: weightBytes,
    reference: copyWeights,
  }),

  /**
   * y [N][OH + 2 yHalo][OW + 2 yHalo][S(OC)] = x [N][H + 2 xHalo][W + 2 xHalo][S(IC)] convolved with the packed
   * weights, xHalo >= pad. Writes all of y: interior, padding lanes, halo. One output's terms are added in the
   * order kernel row, kernel column, input channel.
   */
  convForward: defineKernel({
    parameters: [
      'x',
      'xHalo',
      'packed',
      'y',
      'yHalo',
      'N',
      'H',
      'W',
      'IC',
      'OC',
      'KH',
      'KW',
      'stride',
      'pad',
    ],
    group: 'convolution forward',
    flops: convolutionFlops,
    bytes: convolutionBytes,
    reference: ({ values }, a) => {
      const at = (index: number): number => values[index] ?? Number.NaN;
      const [xStride, yStride] = [channelStride(a.IC), channelStride(a.OC)];
      const OH = outputSize(a.H, a.KH, a.stride, a.pad);
      const OW = outputSize(a.W, a.KW, a.stride, a.pad);
      const yLength = a.N * (OH + 2 * a.yHalo) * (OW + 2 * a.yHalo) * yStride;
      values.fill(0, a.y / 4, a.y / 4 + yLength);
      forEachTap(a, (n, oy, ox, iy, ix, place) => {
        const from = a.x / 4 + activationIndex(n, iy, ix, a.H, a.W, xStride, a.xHalo);
        const to = a.y / 4 + activationIndex(n, oy, ox, OH, OW, yStride, a.yHalo);
        for (let ic = 0; ic < a.IC; ic++) {
          const w = a.packed / 4 + (place * a.IC + ic) * a.OC;
          for (let oc = 0; oc < a.OC; oc++) values[to + oc] = at(to + oc) + at(from + ic) * at(w + oc);
        }
      });
    },
  }),

  /** As `convPackForward`, for `convBackwardData`; `packed` has `convPackedBackwardDataBytes(..)` bytes. */
  convPackBackwardData: defineKernel({
    parameters: ['w', 'packed', 'KH', 'KW', 'IC', 'OC', 'stride', 'pad', 'fromTap', 'toTap'],
    group: 'pack',
    flops: () => 0,
    bytes: weightBytes,
    reference: copyWeights,
  }),

  /**
   * dx [N][H][W][S(IC)] = gradient of the input from dy [N][OH + 2 dyHalo][OW + 2 dyHalo][S(OC)], whose halo is
   * zero and at least `backwardDataHalo(..)`; pad < KH and pad < KW. Overwrites all of dx, padding lanes with zero.
   * One output's terms are added in the order kernel row descending, kernel column descending, output channel.
   */
  convBackwardData: defineKernel({
    parameters: ['dy', 'dyHalo', 'packed', 'dx', 'N', 'H', 'W', 'IC', 'OC', 'KH', 'KW', 'stride', 'pad'],
    group: 'convolution backward-data',
    flops: convolutionFlops,
    bytes: convolutionBytes,
    reference: ({ values }, a) => {
      const at = (index: number): number => values[index] ?? Number.NaN;
      const [dxStride, dyStride] = [channelStride(a.IC), channelStride(a.OC)];
      const OH = outputSize(a.H, a.KH, a.stride, a.pad);
      const OW = outputSize(a.W, a.KW, a.stride, a.pad);
      values.fill(0, a.dx / 4, a.dx / 4 + a.N * a.H * a.W * dxStride);
      forEachTap(a, (n, oy, ox, iy, ix, place) => {
        if (iy < 0 || iy >= a.H || ix < 0 || ix >= a.W) return;
        const from = a.dy / 4 + activationIndex(n, oy, ox, OH, OW, dyStride, a.dyHalo);
        const to = a.dx / 4 + activationIndex(n, iy, ix, a.H, a.W, dxStride, 0);
        for (let ic = 0; ic < a.IC; ic++) {
          const w = a.packed / 4 + (place * a.IC + ic) * a.OC;
          for (let oc = 0; oc < a.OC; oc++) values[to + ic] = at(to + ic) + at(from + oc) * at(w + oc);
        }
      });
    },
  }),

  /**
   * dw [KH][KW][IC][OC] = gradient of the weights, summed over all N images, overwritten. x as in `convForward`, dy
   * with any halo; `scratch` has `convBackwardWeightsScratchBytes(..)` bytes. Output pixels are summed in blocks of
   * at most 256 (whole images, or rows of one image, at least a row), and the blocks' sums in order. With
   * `accumulate` the sum goes on from what dw holds.
   */
  convBackwardWeights: defineKernel({
    parameters: [
      'x',
      'xHalo',
      'dy',
      'dyHalo',
      'dw',
      'N',
      'H',
      'W',
      'IC',
      'OC',
      'KH',
      'KW',
      'stride',
      'pad',
      'accumulate',
      'scratch',
    ],
    group: 'convolution backward-weights',
    flops: convolutionFlops,
    bytes: convolutionBytes,
    reference: ({ values }, a) => {
      const at = (index: number): number => values[index] ?? Number.NaN;
      const [xStride, dyStride] = [channelStride(a.IC), channelStride(a.OC)];
      const OH = outputSize(a.H, a.KH, a.stride, a.pad);
      const OW = outputSize(a.W, a.KW, a.stride, a.pad);
      if (!a.accumulate) values.fill(0, a.dw / 4, a.dw / 4 + a.KH * a.KW * a.IC * a.OC);
      forEachTap(a, (n, oy, ox, iy, ix, place) => {
        const input = a.x / 4 + activationIndex(n, iy, ix, a.H, a.W, xStride, a.xHalo);
        const output = a.dy / 4 + activationIndex(n, oy, ox, OH, OW, dyStride, a.dyHalo);
        for (let ic = 0; ic < a.IC; ic++) {
          const to = a.dw / 4 + (place * a.IC + ic) * a.OC;
          for (let oc = 0; oc < a.OC; oc++) values[to + oc] = at(to + oc) + at(input + ic) * at(output + oc);
        }
      });
    },
  }),
};
