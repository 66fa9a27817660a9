/**
 * The kernel calls of a convolution: packing, forward, backward-data and backward-weights, by the direct kernels or by
 * Winograd's. Which of them follows from the layer's shape and the recipe alone, so bits never depend on the machine.
 */
import {
  convBackwardWeightsScratchBytes,
  convPackedBackwardDataBytes,
  convPackedBytes,
} from '../kernels/convolution.ts';
import {
  type ConvolutionPass,
  packsWhole,
  usesWinograd,
  winogradBackwardDataScratchBytes,
  winogradBackwardWeightsScratchBytes,
  winogradPackedBackwardDataBytes,
  winogradFilterBytes,
  winogradPackedBytes,
  winogradScratchBytes,
  winogradSumsBytes,
  winogradTilesOfImage,
} from '../kernels/winograd.ts';
import { type Compilation, imageCount, type Value } from './compilation.ts';
import type { ImageRange, Operand } from './image-runs.ts';
import { entryOf } from './parameter-places.ts';
import type { StageOf } from './stages.ts';
import type { Pointer } from './buffer.ts';
import { type FloatRange, unitFloats } from './weight-units.ts';

/** A convolution in its place: its stage and the value it reads. */
export interface PlacedConvolution {
  readonly stage: StageOf<'convolution'>;
  readonly x: Value;
}

/** The gradient of a convolution's output, with the halo that backward-data reads. */
export type OutputGradient = Operand & { readonly halo: number };

/** Everything that sizes are computed from; N is the whole shard. */
function shapeOf(c: Compilation, { stage, x }: PlacedConvolution) {
  const { kernel, filters, stride, pad } = stage.layer;
  const { height: H, width: W, channels: IC } = x.shape;
  return { N: c.n, H, W, IC, OC: filters, KH: kernel, KW: kernel, stride, pad };
}

type Shape = ReturnType<typeof shapeOf>;

/** Images for which the choice is made: it may not differ between the shards of a run, whose sizes differ. */
const typicalShard = 16;

function isWinograd(c: Compilation, shape: Shape, pass: ConvolutionPass): boolean {
  return c.options.convolution !== 'direct' && usesWinograd({ ...shape, N: typicalShard }, pass);
}

/** `3x3x16x32` */
function weightsInWords({ KH, KW, IC, OC }: Shape): string {
  return `${KH}x${KW}x${IC}x${OC}`;
}

/**
 * Records the packing of a convolution's weights, once for each step: of many weights a few taps at a time, so that ranks
 * can share the work, if the kernel can.
 *
 * @param record calls `tape.prepare` with a pointer to the first of some taps, their numbers and what they are of the flat
 *   weights
 */
function packTaps(
  c: Compilation,
  { stage }: PlacedConvolution,
  { KH, KW, IC, OC }: Shape,
  whole: boolean,
  record: (taps: { w: Pointer; fromTap: number; toTap: number }, reads: FloatRange) => void,
): void {
  const w = c.parameters.value(stage.layer.name, 'weight');
  const { offset } = entryOf(c.layout, stage.layer.name, 'weight');
  const tap = IC * OC;
  const taps = KH * KW;
  const together = whole || taps * tap <= unitFloats ? taps : Math.max(1, Math.floor(unitFloats / tap));
  for (let fromTap = 0; fromTap < taps; fromTap += together) {
    const toTap = Math.min(taps, fromTap + together);
    const reads = { from: offset + fromTap * tap, to: offset + toTap * tap };
    record({ w: { ...w, byteOffset: w.byteOffset + 4 * fromTap * tap }, fromTap, toTap }, reads);
  }
}

/** Packs the weights, once for each step, and records the forward pass. */
export function recordForwardConvolution(
  c: Compilation,
  placed: PlacedConvolution,
  y: Value,
  words: string,
): void {
  const { stage, x } = placed;
  const shape = shapeOf(c, placed);
  const { H, W, IC, OC, KH, KW, stride, pad } = shape;
  const winograd = isWinograd(c, shape, 'forward');
  const packedBytes = winograd ? winogradPackedBytes(IC, OC) : convPackedBytes(KH, KW, IC, OC);
  const packed = c.tape.kept(`${stage.layer.name}:packed`, packedBytes);
  const tensors = { x, xHalo: x.halo, packed, y, yHalo: y.halo, N: imageCount, H, W, IC, OC };
  const at = [stage.label, weightsInWords(shape)] as const;
  if (winograd) {
    packTaps(c, placed, shape, packsWhole(IC, OC), (taps, reads) =>
      c.tape.prepare(...at, 'winogradPackForward', { ...taps, packed, IC, OC, stride }, reads),
    );
    const scratch = { bytesFor: (N: number) => winogradScratchBytes({ ...shape, N }) };
    const all = { ...tensors, stride, pad, scratch };
    const weightBytes = winogradFilterBytes(IC, OC);
    c.runs.images('forward', stage.label, words, 'winogradForward', all, { weightBytes });
  } else {
    packTaps(c, placed, shape, false, (taps, reads) =>
      c.tape.prepare(...at, 'convPackForward', { ...taps, packed, KH, KW, IC, OC }, reads),
    );
    const all = { ...tensors, KH, KW, stride, pad };
    c.runs.images('forward', stage.label, words, 'convForward', all, { weightBytes: packedBytes });
  }
}

/** Tiles that are worth another pass over the sums of Winograd's backward-weights. */
const leastTiles = 48;

/** Records backward-weights, whose sums go on from one range of images to the next. */
export function recordBackwardWeights(c: Compilation, placed: PlacedConvolution, dy: OutputGradient): void {
  const { stage, x } = placed;
  const shape = shapeOf(c, placed);
  const { H, W, IC, OC, KH, KW, stride, pad } = shape;
  const dw = c.parameters.gradient(stage.layer.name, 'weight');
  const tensors = {
    x,
    xHalo: x.halo,
    dy,
    dyHalo: dy.halo,
    dw,
    N: imageCount,
    H,
    W,
    IC,
    OC,
    stride,
    pad,
    accumulate: ({ from }: ImageRange) => Number(from > 0),
  };
  const at = ['backward', stage.label, weightsInWords(shape)] as const;
  if (isWinograd(c, shape, 'backwardWeights')) {
    const bytesFor = (N: number) => winogradBackwardWeightsScratchBytes({ ...shape, N }, N < c.n);
    const sums = {
      kept: c.tape.pooled(`${stage.layer.name}:sums`, 0),
      bytesFor: (N: number) => winogradSumsBytes({ ...shape, N }, N < c.n),
    };
    const finish = ({ from, count }: ImageRange) => Number(from + count === c.n);
    const least = Math.ceil(leastTiles / winogradTilesOfImage(shape));
    const weightBytes = winogradFilterBytes(IC, OC);
    const all = { ...tensors, finish, sums, scratch: { bytesFor } };
    c.runs.images(...at, 'winogradBackwardWeights', all, { weightBytes, least, adds: true, last: true });
  } else {
    const bytesFor = (N: number) => convBackwardWeightsScratchBytes({ ...shape, N });
    const all = { ...tensors, KH, KW, scratch: { bytesFor } };
    const weightBytes = 4 * KH * KW * IC * OC;
    c.runs.images(...at, 'convBackwardWeights', all, { weightBytes, adds: true, last: true });
  }
}

/** Packs the rotated weights and records backward-data into `dx`, which has no halo. */
export function recordBackwardData(
  c: Compilation,
  placed: PlacedConvolution,
  dy: OutputGradient,
  dx: Operand,
  words: string,
): void {
  const { stage } = placed;
  const shape = shapeOf(c, placed);
  const { H, W, IC, OC, KH, KW, stride, pad } = shape;
  const winograd = isWinograd(c, shape, 'backwardData');
  const packedBytes = winograd
    ? winogradPackedBackwardDataBytes(IC, OC)
    : convPackedBackwardDataBytes(KH, KW, IC, OC);
  const packed = c.tape.kept(`${stage.layer.name}:packed backward`, packedBytes);
  const at = [stage.label, weightsInWords(shape)] as const;
  const tensors = { dy, dyHalo: dy.halo, packed, dx, N: imageCount, H, W, IC, OC, stride, pad };
  if (winograd) {
    packTaps(c, placed, shape, packsWhole(IC, OC), (taps, reads) =>
      c.tape.prepare(...at, 'winogradPackBackwardData', { ...taps, packed, IC, OC, stride }, reads),
    );
    const scratch = {
      bytesFor: (N: number) => winogradBackwardDataScratchBytes({ ...shape, N }),
    };
    const all = { ...tensors, scratch };
    const weightBytes = winogradFilterBytes(OC, IC);
    c.runs.images('backward', stage.label, words, 'winogradBackwardData', all, { weightBytes });
  } else {
    packTaps(c, placed, shape, false, (taps, reads) =>
      c.tape.prepare(...at, 'convPackBackwardData', { ...taps, packed, KH, KW, IC, OC, stride, pad }, reads),
    );
    const all = { ...tensors, KH, KW };
    c.runs.images('backward', stage.label, words, 'convBackwardData', all, { weightBytes: packedBytes });
  }
}
