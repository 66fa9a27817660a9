/**
 * Winograd convolution in its three passes, and packing of its filters: 3x3 kernels of stride 1 with pad 0 to 2, or of
 * stride 2 with pad 1, any size and channel count, on the tensors of the direct convolution (ARCHITECTURE.md, Tensors).
 *
 * Sequence for a layer: once per weights `winogradPackForward` and `winogradPackBackwardData`, then the
 * passes. `usesWinograd` says which passes of which shapes gain.
 *
 * With the interpolation points 0, +-5/8, +-3/2 and infinity (as in oneDNN; the method: Lavin & Gray 2016) a
 * tile of 4 x 4 outputs takes 36 multiplications for each pair of channels instead of 144, at about twice the
 * direct kernel's rounding error. With stride 2 the filter falls into one of two taps and one of a single tap along each
 * axis; F(4, 2) at +-1/2, +-5/4 and infinity for the former makes it 81 multiplications.
 *
 * The references are those of the direct convolution, which is the same mathematics; like theirs, they keep a
 * plain copy of the logical weights where the kernels keep packed filters. FLOPs count the direct
 * convolution's, so rates are "effective".
 */
import { convolutionKernels } from './convolution.ts';
import { convolutionBytes, convolutionFlops } from './convolution-geometry.ts';
import { defineKernel } from './kernel.ts';
import { packsWhole, type WinogradShape } from './winograd-geometry.ts';

export {
  type ConvolutionPass,
  packsWhole,
  usesWinograd,
  winogradBackwardDataScratchBytes,
  winogradBackwardWeightsScratchBytes,
  winogradFilterBytes,
  winogradPackedBackwardDataBytes,
  winogradPackedBytes,
  winogradScratchBytes,
  winogradSumsBytes,
  winogradTilesOfImage,
} from './winograd-geometry.ts';

/** What the direct convolution's functions expect beside the arguments here. */
const fixed = { KH: 3, KW: 3 } as const;

const flops = (s: WinogradShape): number => convolutionFlops({ ...s, ...fixed });
const bytes = (s: WinogradShape): number => convolutionBytes({ ...s, ...fixed });

interface PackArguments {
  readonly IC: number;
  readonly OC: number;
  readonly fromTap: number;
  readonly toTap: number;
}

/** The weights are read, and written: where they are kept transformed 36 elements for 9, at least. */
const packBytes = (a: PackArguments): number => {
  const taps = a.toTap - a.fromTap;
  return 4 * (taps + (packsWhole(a.IC, a.OC) ? 36 : taps)) * a.IC * a.OC;
};

export const winogradKernels = {
  /**
   * Transforms and packs taps [fromTap, toTap) of w [3][3][IC][OC] for `winogradForward`, `w` pointing to the first of
   * them: all nine where `packsWhole(IC, OC)`. `packed` has `winogradPackedBytes(IC, OC)` bytes.
   */
  winogradPackForward: defineKernel({
    parameters: ['w', 'packed', 'IC', 'OC', 'stride', 'fromTap', 'toTap'],
    group: 'pack',
    flops: () => 0,
    bytes: packBytes,
    reference: (memory, a) => convolutionKernels.convPackForward.reference(memory, { ...a, ...fixed }),
  }),

  /**
   * y [N][OH + 2 yHalo][OW + 2 yHalo][S(OC)] = x [N][H + 2 xHalo][W + 2 xHalo][S(IC)] convolved with the
   * packed filters, xHalo >= pad, OH = floor((H + 2 pad - 3) / stride) + 1. Writes all of y: interior, padding lanes, halo.
   * `scratch` has `winogradScratchBytes(..)` bytes. A product element's terms are added in the order of the
   * input channels.
   */
  winogradForward: defineKernel({
    parameters: ['x', 'xHalo', 'packed', 'y', 'yHalo', 'N', 'H', 'W', 'IC', 'OC', 'stride', 'pad', 'scratch'],
    group: 'convolution forward',
    flops,
    bytes,
    reference: (memory, a) => convolutionKernels.convForward.reference(memory, { ...a, ...fixed }),
  }),

  /**
   * The same for `winogradBackwardData`; `packed` has `winogradPackedBackwardDataBytes(IC, OC)` bytes.
   */
  winogradPackBackwardData: defineKernel({
    parameters: ['w', 'packed', 'IC', 'OC', 'stride', 'fromTap', 'toTap'],
    group: 'pack',
    flops: () => 0,
    bytes: packBytes,
    reference: (memory, a) =>
      convolutionKernels.convPackBackwardData.reference(memory, { ...a, ...fixed, pad: 1 }),
  }),

  /**
   * dx [N][H][W][S(IC)] = gradient of the input from dy [N][OH + 2 dyHalo][OW + 2 dyHalo][S(OC)], whose halo
   * is zero and may have any size: tiles that reach beyond it are filled up with zeros. Overwrites all of dx,
   * padding lanes with zero. `scratch` has `winogradBackwardDataScratchBytes(..)` bytes.
   */
  winogradBackwardData: defineKernel({
    parameters: ['dy', 'dyHalo', 'packed', 'dx', 'N', 'H', 'W', 'IC', 'OC', 'stride', 'pad', 'scratch'],
    group: 'convolution backward-data',
    flops,
    bytes,
    reference: (memory, a) => convolutionKernels.convBackwardData.reference(memory, { ...a, ...fixed }),
  }),

  /**
   * dw [3][3][IC][OC] = gradient of the weights, summed over all N images, overwritten: the exact gradient of
   * the forward formula, dU = sum over tiles of (B^T x B)^T (A dy A^T), dw = G^T dU G. dy with any halo;
   * `scratch` has `winogradBackwardWeightsScratchBytes(..)` bytes. Tiles are summed in blocks that the shape
   * alone determines, and the blocks' sums in order.
   *
   * The sum may go on from call to call: `accumulate` in all but the first of them, `finish` in the last one, which
   * writes dw. In between `sums` of `winogradSumsBytes(..)` bytes holds it, and dw is undefined.
   */
  winogradBackwardWeights: defineKernel({
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
      'stride',
      'pad',
      'accumulate',
      'finish',
      'sums',
      'scratch',
    ],
    group: 'convolution backward-weights',
    flops,
    bytes,
    reference: (memory, a) => convolutionKernels.convBackwardWeights.reference(memory, { ...a, ...fixed }),
  }),
};
