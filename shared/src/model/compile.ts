/** From a model and a shard size to a program. */
import { LockstepError } from '../base/errors.ts';
import { firstFreeByte } from '../kernels/build-name.ts';
import { activationBytes } from '../kernels/kernel.ts';
import { recordBackward } from './backward.ts';
import { Buffer } from './buffer.ts';
import { allocate, type Compilation, type CompileOptions, findHalos } from './compilation.ts';
import { recordForward } from './forward.ts';
import { gradientOutlets } from './gradient-parts.ts';
import { ImageRuns } from './image-runs.ts';
import { type Layout, layOut } from './layout.ts';
import { align } from './memory-plan.ts';
import { keptParameters, passingParameters } from './parameter-places.ts';
import type { Program, ProgramMode } from './program.ts';
import { inferShapes, refuseUnread } from './shapes.ts';
import { imagesName, type Model } from './spec.ts';
import { fuseLayers } from './stages.ts';
import { syncPointOf } from './sync-points.ts';
import { Tape } from './tape.ts';

/** wasm32 addresses end at 4 GiB; a shared memory has at most 65536 pages. */
export const largestArenaBytes = 65536 * 65536;

/** The regions that do not depend on the shard size: those that ranks share are placed, one behind the other. */
function placeFixed(model: Model, layout: Layout, tape: Tape, mode: ProgramMode, options: CompileOptions) {
  const sync = options.sync !== undefined;
  let top = firstFreeByte;
  const place = (name: string, bytes: number): Buffer => {
    const buffer = new Buffer(name, bytes, top);
    top += align(bytes);
    return buffer;
  };
  /** In mode `sync` every shard in the arena has its own: in its pool, alive from the first to the last call. */
  const ofShard = (name: string, bytes: number): Buffer => {
    if (!sync) return tape.owned(name, bytes);
    const buffer = tape.pooled(name, bytes);
    tape.touchBeforeAll(buffer);
    tape.touchAfterAll(buffer);
    return buffer;
  };
  if (sync && options.parameters === 'passing') throw new Error('in mode sync parameters are kept');
  const parameters =
    options.parameters === 'passing'
      ? passingParameters(model, layout, tape, place, mode === 'train')
      : keptParameters(
          layout,
          tape,
          place('weights', 4 * layout.totalCount),
          ofShard('gradients', 4 * layout.parameterCount),
          mode === 'train',
        );
  return {
    parameters,
    moments: ofShard('moments', 16 * layout.batchNormChannels),
    totals: ofShard('totals', 16),
    sync: sync
      ? {
          sums: ofShard('sums', 16 * layout.batchNormChannels),
          batchMoments: ofShard('batch moments', 16 * layout.batchNormChannels),
          batchSums: ofShard('batch sums', 16 * layout.batchNormChannels),
        }
      : null,
    pixelTable: tape.owned('pixel table', 4 * 256 * model.images.channels),
    end: () => top,
  };
}

/**
 * Compiles a model for shards of `shardSize` images.
 *
 * @throws LockstepError MODEL_INVALID; ARENA_TOO_LARGE with the figure when wasm32 cannot address it
 */
export function compileProgram(
  model: Model,
  mode: ProgramMode,
  shardSize: number,
  options: CompileOptions,
): Program {
  const compiled = (n: number): Program => compile(model, mode, n, options);
  if (shardSize > 2 * sampleSize) {
    const [one, two] = [compiled(sampleSize).arenaBytes, compiled(2 * sampleSize).arenaBytes];
    const estimate = one + ((two - one) / sampleSize) * (shardSize - sampleSize);
    // What is near the limit is computed exactly.
    if (estimate > 1.25 * largestArenaBytes) throw tooLarge(model, shardSize, estimate, 'about');
  }
  const program = compiled(shardSize);
  if (program.arenaBytes > largestArenaBytes) throw tooLarge(model, shardSize, program.arenaBytes);
  return program;
}

/**
 * Calls grow with the images: to find out exactly that 50,000 images do not fit would take a minute and gigabytes.
 * The arena grows in proportion to them, so programs for so many images, and for twice as many, tell it at once.
 */
const sampleSize = 64;

function compile(model: Model, mode: ProgramMode, shardSize: number, options: CompileOptions): Program {
  const shapes = inferShapes(model);
  refuseUnread(model);
  const layout = layOut(model);
  const stages = fuseLayers(model);
  // Evaluation shares out whole shards, mode `sync` its segments.
  const tape = new Tape(mode === 'train' && options.sync === undefined);
  const fixed = placeFixed(model, layout, tape, mode, options);
  const { height, width, channels } = model.images;
  const input = {
    bytes: tape.pooled('image bytes', shardSize * height * width * channels),
    labels: tape.pooled('labels', 4 * shardSize),
    predictions: tape.pooled('predictions', 4 * shardSize),
  };
  const compilation: Compilation = {
    model,
    layout,
    shapes,
    stages,
    mode,
    n: shardSize,
    options,
    tape,
    fixed,
    parameters: fixed.parameters,
    input,
    runs: new ImageRuns(tape, shardSize),
    halos: findHalos(model, stages),
    values: new Map(),
    copies: new Map(),
    norms: new Map(),
    positions: new Map(),
    logitsGradient: null,
  };
  const images = allocate(compilation, imagesName);
  // The loader writes these before the first call; the rank reads predictions after the last one.
  for (const buffer of [input.bytes, input.labels, images.buffer]) tape.touchBeforeAll(buffer);
  recordForward(compilation);
  if (mode === 'train') recordBackward(compilation);
  tape.touchAfterAll(input.predictions);
  const finished = tape.finish(fixed.end(), options.ownAt ?? null, options.sync?.shift);
  const { prepare, forward, backward, own, pool, arenaBytes, buffers, cuts, sharedRuns } = finished;
  const pieces = fixed.parameters.pieces(forward.length);
  const gradients = fixed.parameters.gradients?.place ?? null;
  return {
    model,
    layout,
    mode,
    shardSize,
    prepare,
    forward,
    backward,
    arenaBytes,
    buffers,
    ...(mode === 'train' ? gradientOutlets(layout, backward, gradients, pieces) : { parts: [], pieces }),
    sharedRuns,
    points: cuts.map((calls, point) => ({ calls, ...syncPointOf(layout, point) })),
    regions: {
      weights: fixed.parameters.weights.place as number,
      gradients: gradients ?? 0,
      moments: fixed.moments.place as number,
      sums: fixed.sync?.sums.place ?? 0,
      batchMoments: fixed.sync?.batchMoments.place ?? 0,
      batchSums: fixed.sync?.batchSums.place ?? 0,
      totals: fixed.totals.place as number,
      pixelTable: fixed.pixelTable.place as number,
      prepared: fixed.end(),
      own,
      pool,
    },
    input: {
      bytes: input.bytes.place as number,
      images: images.buffer.place as number,
      imagesHalo: images.halo,
      labels: input.labels.place as number,
      predictions: input.predictions.place as number,
    },
  };
}

/** @param about `about` when the bytes are an estimate */
function tooLarge(model: Model, shardSize: number, bytes: number, about = ''): LockstepError {
  const gibibytes = `${about} ${(bytes / 2 ** 30).toFixed(2)}`.trim();
  return new LockstepError(
    'ARENA_TOO_LARGE',
    `${model.title} with shards of ${shardSize} images needs an arena of ${gibibytes} GiB; WebAssembly ends at 4 GiB.`,
    'Take more shardsPerStep or a smaller batchSize.',
    { bytes, shardSize, limit: largestArenaBytes },
  );
}

/** Bytes of one image's input activation: what the loader writes. */
export function imageBytes(program: Program): number {
  const { height, width, channels } = program.model.images;
  return activationBytes(1, height, width, channels, program.input.imagesHalo);
}
