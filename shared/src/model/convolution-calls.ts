/** The kernel calls of a convolution: packing, forward, backward-data and backward-weights. */
import {
  convBackwardWeightsScratchBytes,
  convPackedBackwardDataBytes,
  convPackedBytes,
} from '../kernels/convolution.ts';
import { type Compilation, imageCount, parameter, type Value } from './compilation.ts';
import type { Operand } from './image-runs.ts';
import type { StageOf } from './stages.ts';

/** A convolution in its place: its stage and the value it reads. */
export interface PlacedConvolution {
  readonly stage: StageOf<'convolution'>;
  readonly x: Value;
}

/** The gradient of a convolution's output, with the halo that backward-data reads. */
export type OutputGradient = Operand & { readonly halo: number };

/** `KH`, `KW`, `IC` and `OC`. */
function sizeOf({ stage, x }: PlacedConvolution) {
  const { kernel, filters } = stage.layer;
  return { KH: kernel, KW: kernel, IC: x.shape.channels, OC: filters };
}

/** `3x3x16x32` */
function weightsInWords(placed: PlacedConvolution): string {
  return Object.values(sizeOf(placed)).join('x');
}

/** Packs the weights, once for each step, and records the forward pass. */
export function recordForwardConvolution(
  c: Compilation,
  placed: PlacedConvolution,
  y: Value,
  words: string,
): void {
  const { stage, x } = placed;
  const { kernel, stride, pad, name } = stage.layer;
  const size = sizeOf(placed);
  const w = parameter(c, c.fixed.weights, name, 'weight');
  const packedBytes = convPackedBytes(kernel, kernel, size.IC, size.OC);
  const packed = c.tape.kept(`${name}:packed`, packedBytes);
  const packing = { w, packed, ...size };
  c.tape.emit('prepare', stage.label, weightsInWords(placed), 'convPackForward', packing);
  const tensors = { x, xHalo: x.halo, packed, y, yHalo: y.halo };
  const shape = { N: imageCount, H: x.shape.height, W: x.shape.width, ...size, stride, pad };
  c.runs.images('forward', stage.label, words, 'convForward', { ...tensors, ...shape }, packedBytes);
}

/** Records backward-weights, which sums over all images and so stands outside of runs. */
export function recordBackwardWeights(c: Compilation, placed: PlacedConvolution, dy: OutputGradient): void {
  const { stage, x } = placed;
  const { stride, pad, name } = stage.layer;
  const shape = { N: c.n, H: x.shape.height, W: x.shape.width, ...sizeOf(placed), stride, pad };
  const scratch = c.tape.pooled('scratch', convBackwardWeightsScratchBytes(shape));
  const dw = parameter(c, c.fixed.gradients, name, 'weight');
  const tensors = { x: x.buffer, xHalo: x.halo, dy: dy.buffer, dyHalo: dy.halo, dw };
  c.runs.defer('backward', stage.label, weightsInWords(placed), 'convBackwardWeights', {
    ...tensors,
    ...shape,
    scratch,
  });
}

/** Packs the rotated weights and records backward-data into `dx`, which has no halo. */
export function recordBackwardData(
  c: Compilation,
  placed: PlacedConvolution,
  dy: OutputGradient,
  dx: Operand,
  words: string,
): void {
  const { stage, x } = placed;
  const { kernel, stride, pad, name } = stage.layer;
  const size = sizeOf(placed);
  const w = parameter(c, c.fixed.weights, name, 'weight');
  const packedBytes = convPackedBackwardDataBytes(kernel, kernel, size.IC, size.OC);
  const packed = c.tape.kept(`${name}:packed backward`, packedBytes);
  const packing = { w, packed, ...size, stride, pad };
  c.tape.emit('prepare', stage.label, weightsInWords(placed), 'convPackBackwardData', packing);
  const tensors = { dy, dyHalo: dy.halo, packed, dx };
  const shape = { N: imageCount, H: x.shape.height, W: x.shape.width, ...size, stride, pad };
  c.runs.images('backward', stage.label, words, 'convBackwardData', { ...tensors, ...shape }, packedBytes);
}
