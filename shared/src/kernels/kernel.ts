/**
 * What a kernel is to TypeScript: the names of its arguments in the order of the WebAssembly export,
 * what it costs, and the same mathematics in float64.
 */

/** Groups by which profiles and plans sum up time. */
export type KernelGroup =
  | 'pack'
  | 'convolution forward'
  | 'convolution backward-data'
  | 'convolution backward-weights'
  | 'matrix product'
  | 'batch-norm'
  | 'bias and activation'
  | 'pooling'
  | 'data movement'
  | 'loss'
  | 'optimizer'
  | 'reduction';

/**
 * The memory that references run on: the same byte offsets as an arena, with one float64 for every
 * 4 bytes. A float64 of the arena (moments, sums) takes the first of its two places. Integers
 * (labels, positions) are stored as numbers; images are read from `bytes`.
 */
export class ReferenceMemory {
  readonly values: Float64Array;
  readonly bytes: Uint8Array;

  /** @param byteLength size of the arena it mirrors; a multiple of 8 */
  constructor(byteLength: number) {
    this.values = new Float64Array(byteLength / 4);
    this.bytes = new Uint8Array(byteLength);
  }
}

/** Arguments by name; every argument of every kernel is a number. */
export type Arguments<Names extends string> = Readonly<Record<Names, number>>;

export interface Kernel<Names extends string = string> {
  /** Argument names in the order of the export. */
  readonly parameters: readonly Names[];
  readonly group: KernelGroup;
  /** Floating point operations; a multiply-add counts two. */
  readonly flops: (a: Arguments<Names>) => number;
  /** Bytes that must move at least: every input read once, every output written once. */
  readonly bytes: (a: Arguments<Names>) => number;
  /** The same mathematics in float64, on the same offsets. */
  readonly reference: (memory: ReferenceMemory, a: Arguments<Names>) => number | void;
}

/** Infers the argument names from `parameters`, so that the three functions are checked against them. */
export function defineKernel<const Names extends string>(kernel: Kernel<Names>): Kernel<Names> {
  return kernel;
}

/** Floats between two neighbouring pixels: C rounded up to a multiple of 4. */
export function channelStride(channels: number): number {
  return Math.ceil(channels / 4) * 4;
}

/** Bytes of an activation `[n][height + 2*halo][width + 2*halo][channelStride(channels)]` of float32. */
export function activationBytes(
  n: number,
  height: number,
  width: number,
  channels: number,
  halo: number,
): number {
  return n * (height + 2 * halo) * (width + 2 * halo) * channelStride(channels) * 4;
}

/**
 * Index, in units of 4 bytes from the tensor's start, of element (n, y, x, 0) of an activation with a
 * halo; y and x may be negative down to -halo.
 */
export function activationIndex(
  n: number,
  y: number,
  x: number,
  height: number,
  width: number,
  stride: number,
  halo: number,
): number {
  return ((n * (height + 2 * halo) + y + halo) * (width + 2 * halo) + x + halo) * stride;
}
