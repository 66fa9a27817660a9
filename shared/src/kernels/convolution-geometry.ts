/** Sizes of a convolution: what follows from its shape and from nothing else. */
import { channelStride } from './kernel.ts';

/** The shape arguments that all convolution kernels share. Sizes in pixels, channels as counted in the model. */
export interface ConvolutionShape {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly IC: number;
  readonly OC: number;
  readonly KH: number;
  readonly KW: number;
  readonly stride: number;
  readonly pad: number;
}

/** Pixels of the output along one axis. */
export function outputSize(size: number, kernel: number, stride: number, pad: number): number {
  return Math.floor((size + 2 * pad - kernel) / stride) + 1;
}

/** Floating point operations of one pass, forward or either backward. */
export function convolutionFlops(s: ConvolutionShape): number {
  const pixels = s.N * outputSize(s.H, s.KH, s.stride, s.pad) * outputSize(s.W, s.KW, s.stride, s.pad);
  return 2 * pixels * s.KH * s.KW * s.IC * s.OC;
}

/** Bytes of the input activation, the output activation and the weights, without halos. */
export function convolutionBytes(s: ConvolutionShape): number {
  const input = s.N * s.H * s.W * channelStride(s.IC);
  const outputPixels = s.N * outputSize(s.H, s.KH, s.stride, s.pad) * outputSize(s.W, s.KW, s.stride, s.pad);
  return 4 * (input + outputPixels * channelStride(s.OC) + s.KH * s.KW * s.IC * s.OC);
}

/** Panels are 16 columns wide at most, so this size serves both widths. */
function packedBytes(KH: number, KW: number, depth: number, columns: number): number {
  return 4 * KH * KW * channelStride(depth) * Math.ceil(columns / 16) * 16;
}

/** Bytes of the weights packed by `convPackForward`. */
export function convPackedBytes(KH: number, KW: number, IC: number, OC: number): number {
  return packedBytes(KH, KW, IC, OC);
}

/** Bytes of the weights packed by `convPackBackwardData`; the stride only orders them. */
export function convPackedBackwardDataBytes(KH: number, KW: number, IC: number, OC: number): number {
  return packedBytes(KH, KW, OC, IC);
}

/** Pixels that backward-data reads beyond dy along one axis, the larger of both ends. */
function axisHalo(size: number, kernel: number, stride: number, pad: number): number {
  const output = outputSize(size, kernel, stride, pad);
  let halo = 0;
  for (let phase = 0; phase < Math.min(stride, size); phase++) {
    const tap = (phase + pad) % stride;
    if (tap >= kernel) continue;
    const taps = Math.floor((kernel - 1 - tap) / stride) + 1;
    const first = Math.floor((phase + pad) / stride) - taps + 1;
    const last = Math.floor((phase + pad) / stride) + Math.ceil((size - phase) / stride) - 1;
    halo = Math.max(halo, -first, last - (output - 1));
  }
  return halo;
}

/** The halo, in pixels, that `convBackwardData` needs around dy: the largest of the four sides. */
export function backwardDataHalo(
  H: number,
  W: number,
  KH: number,
  KW: number,
  stride: number,
  pad: number,
): number {
  return Math.max(axisHalo(H, KH, stride, pad), axisHalo(W, KW, stride, pad));
}

/** Largest block of output pixels that backward-weights sums at once, unless one row is longer. */
const blockPixels = 256;

/** Scratch of one `convBackwardWeights`, in bytes: a tile of 6 x 16 and one packed block of dy; for either width. */
export function convBackwardWeightsScratchBytes(s: ConvolutionShape): number {
  const columns = outputSize(s.W, s.KW, s.stride, s.pad);
  const pixels = s.N * outputSize(s.H, s.KH, s.stride, s.pad) * columns;
  const block = Math.min(pixels, Math.max(blockPixels, columns));
  return 4 * (6 * 16 + block * Math.ceil(s.OC / 16) * 16);
}
