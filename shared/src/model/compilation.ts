/** What the forward and the backward half of the compiler share. */
import { LockstepError } from '../base/errors.ts';
import { backwardDataHalo } from '../kernels/convolution-geometry.ts';
import { activationBytes, channelStride } from '../kernels/kernel.ts';
import type { Buffer } from './buffer.ts';
import type { ImageRange, ImageRuns, Operand } from './image-runs.ts';
import type { Layout } from './layout.ts';
import type { ParameterPlaces } from './parameter-places.ts';
import type { ProgramMode } from './program.ts';
import { inWords, type Shapes } from './shapes.ts';
import { type ImageShape, imagesName, type Model } from './spec.ts';
import { type Stage, shapeOf } from './stages.ts';
import type { Tape } from './tape.ts';

/** An activation: its buffer, its halo and the shape of one image. */
export interface Value {
  readonly buffer: Buffer;
  /** Bytes of one image, halo and all. */
  readonly imageBytes: number;
  readonly halo: number;
  readonly shape: ImageShape;
}

/** Regions that lie at the same place in every program, as buffers with a place. */
export interface FixedBuffers {
  readonly moments: Buffer;
  readonly totals: Buffer;
  /** In mode `sync` only. */
  readonly sync: {
    readonly sums: Buffer;
    readonly batchMoments: Buffer;
    readonly batchSums: Buffer;
  } | null;
}

export interface CompileOptions {
  /** Added to the variance before the root; Ioffe & Szegedy 2015. */
  readonly batchNormEpsilon: number;
  /** `direct`: never Winograd's kernels. */
  readonly convolution?: 'winograd' | 'direct';
  /** See `parameter-places.ts`; absent: `kept`. Not in mode `sync`. */
  readonly parameters?: 'kept' | 'passing';
  /** Where what belongs to one rank begins, in bytes; absent: right behind the packed weights. */
  readonly ownAt?: number;
  /** Batch-norm mode `sync`; absent: mode `shard`. */
  readonly sync?: {
    /** Samples of the whole step. */
    readonly batchSamples: number;
    /** Bytes by which all that belongs to one shard is moved, so that several shards are in one arena. */
    readonly shift: number;
  };
}

/** What a batch-norm stage leaves for its backward. */
export interface NormState {
  readonly coefficients: Buffer;
}

export interface Compilation {
  readonly model: Model;
  readonly layout: Layout;
  readonly shapes: Shapes;
  readonly stages: readonly Stage[];
  readonly mode: ProgramMode;
  /** Images of the shard. */
  readonly n: number;
  readonly options: CompileOptions;
  readonly tape: Tape;
  readonly runs: ImageRuns;
  readonly fixed: FixedBuffers;
  readonly parameters: ParameterPlaces;
  /** Halo of each value: what its readers need. */
  readonly halos: ReadonlyMap<string, number>;
  readonly values: Map<string, Value>;
  /** Copies without halo, by value. */
  readonly copies: Map<string, Operand>;
  readonly norms: Map<string, NormState>;
  /** Positions that max pooling remembers, by stage output. */
  readonly positions: Map<string, Operand>;
  readonly input: { bytes: Buffer; labels: Buffer; predictions: Buffer };
  /** Gradient of the logits, set by the loss. */
  logitsGradient: (Operand & { readonly halo: number }) | null;
}

/** Kinds of stages that can write a halo of zeros around their output. */
const writesHalo: ReadonlySet<string> = new Set<Stage['kind']>([
  'batch-norm',
  'bias',
  'relu',
  'add',
  'max-pool',
  'average-pool',
  'convolution',
]);

/**
 * The halo of each value: the widest padding among the convolutions that read it.
 *
 * @throws LockstepError MODEL_INVALID when its producer cannot write one
 */
export function findHalos(model: Model, stages: readonly Stage[]): Map<string, number> {
  const halos = new Map<string, number>();
  const producer = new Map(stages.map((stage) => [stage.output, stage]));
  for (const stage of stages) {
    if (stage.kind !== 'convolution' || stage.layer.pad === 0) continue;
    const from = producer.get(stage.input);
    if (from && !writesHalo.has(from.kind)) {
      throw new LockstepError(
        'MODEL_INVALID',
        `Convolution '${stage.layer.name}' of model '${model.name}' pads the output of a ${from.kind} layer.`,
        'Put a ReLU or a batch-norm between them.',
      );
    }
    halos.set(stage.input, Math.max(halos.get(stage.input) ?? 0, stage.layer.pad));
  }
  return halos;
}

/** Allocates the value of a stage. */
export function allocate(c: Compilation, name: string): Value {
  const shape = shapeOf(c.shapes, name);
  const halo = c.halos.get(name) ?? 0;
  const imageBytes = activationBytes(1, shape.height, shape.width, shape.channels, halo);
  const value = { buffer: c.tape.pooled(name, c.n * imageBytes), imageBytes, halo, shape };
  c.values.set(name, value);
  return value;
}

/** The value of a stage that has been recorded. */
export function valueOf(c: Compilation, name: string): Value {
  const value = c.values.get(name);
  if (!value) throw new Error(`no value ${name}`);
  return value;
}

/**
 * The buffer of a value without its halo, for kernels that know none: a batch-norm or a dense layer may read what
 * a convolution pads. Copied once, by the first reader.
 */
export function withoutHalo(c: Compilation, name: string): Operand {
  const value = valueOf(c, name);
  if (value.halo === 0) return value;
  const known = c.copies.get(name);
  if (known) return known;
  const { shape, halo: xHalo } = value;
  const { height, width, channels } = shape;
  const imageBytes = activationBytes(1, height, width, channels, 0);
  const y = { buffer: c.tape.pooled(`${name}:copy`, c.n * imageBytes), imageBytes };
  // The mean of one cell is that cell.
  const window = { K: 1, stride: 1, pad: 0 };
  const places = { x: value, xHalo, y, yHalo: 0, ...dimensions(shape), ...window };
  c.runs.images('forward', name, batchInWords(c, shape), 'averagePoolForward', places);
  c.copies.set(name, y);
  return y;
}

/** `16x32x32x3`, with the shard's images in front. */
export function batchInWords(c: Compilation, shape: ImageShape): string {
  return `${c.n}x${inWords(shape)}`;
}

/** Pixels of the shard over which a batch-norm of this shape gathers its moments. */
export function pixelsOf(c: Compilation, shape: ImageShape): number {
  return c.n * shape.height * shape.width;
}

/** Pixels behind the moments that normalise: of the shard, or in mode `sync` of the whole batch. */
export function normalisedPixelsOf(c: Compilation, shape: ImageShape): number {
  return (c.options.sync?.batchSamples ?? c.n) * shape.height * shape.width;
}

/** The N of a call in a run: as many images as the range has. */
export function imageCount(range: ImageRange): number {
  return range.count;
}

/** The N, H, W and C arguments of most kernels, in a run. */
export function dimensions(shape: ImageShape) {
  return { N: imageCount, H: shape.height, W: shape.width, C: shape.channels };
}

/** Whether anything before this value has parameters, so that its gradient is wanted. */
export function wantsGradient(name: string): boolean {
  return name !== imagesName;
}

/** Halo that the gradient of a convolution's output needs for backward-data. */
export function gradientHalo(c: Compilation, stage: Stage): number {
  if (stage.kind !== 'convolution' || !wantsGradient(stage.input)) return 0;
  const { kernel, stride, pad } = stage.layer;
  const { height, width } = shapeOf(c.shapes, stage.input);
  return backwardDataHalo(height, width, kernel, kernel, stride, pad);
}

/** Float64 values and int32 positions, for buffers that are no activations. */
export function perChannelBytes(channels: number): { coefficients: number; sums: number } {
  return { coefficients: 24 * channelStride(channels), sums: 16 * channels };
}
