/** What follows from a recipe and the shape of its data set alone: the model and the memory of a rank. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { treeSumScratchBytes } from '@lockstep/shared/kernels/reduction.ts';
import type { CompileOptions } from '@lockstep/shared/model/compilation.ts';
import { compileProgram, largestArenaBytes } from '@lockstep/shared/model/compile.ts';
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import type { Layout } from '@lockstep/shared/model/layout.ts';
import { align, wholePages } from '@lockstep/shared/model/memory-plan.ts';
import { inferShapes } from '@lockstep/shared/model/shapes.ts';
import type { Program } from '@lockstep/shared/model/program.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import { shardSizes } from '@lockstep/shared/plan/batch-plan.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset, SplitName } from '../data/dataset.ts';
import type { RankSpace } from './hall.ts';
import { pairChunkCount } from './pair-states.ts';
import { updateUnits } from './round-order.ts';
import { chunkFloats, type StoreShape } from './store.ts';

/** Images that one evaluation task takes: few enough to stay in the caches and below a training shard in memory. */
export const evaluationShard = 50;

/** What a model must know of a data set. */
export type ImagesOf = Pick<Dataset, 'height' | 'width' | 'channels' | 'classes'>;

/** How many images each split has. */
export type SplitCounts = Readonly<Record<SplitName, { readonly count: number }>>;

/** The recipe's model for the images of a data set. @throws LockstepError MODEL_UNKNOWN, MODEL_INVALID */
export function modelFor(recipe: Pick<Recipe, 'model' | 'shortcut'>, dataset: ImagesOf): Model {
  const { height, width, channels } = dataset;
  const images = { height, width, channels };
  const model = buildModel(recipe.model, {
    images,
    classes: dataset.classes.length,
    shortcut: recipe.shortcut,
  });
  inferShapes(model);
  return model;
}

/** Sizes of the programs that a run's shards and evaluations need. */
function programSizes(recipe: Recipe, counts: SplitCounts) {
  const tests = [evaluationShard, counts.test.count % evaluationShard].filter((size) => size > 0);
  return { shards: shardSizes(recipe, counts.train.count), tests };
}

/**
 * What a run's programs need: the largest of each. In batch-norm mode `sync` a rank holds several shards at a time, each
 * in its own bay.
 *
 * @param bays shards that a rank holds in mode `sync`
 * @throws LockstepError ARENA_TOO_LARGE
 */
export function rankSpaceOf(recipe: Recipe, model: Model, counts: SplitCounts, bays = 1): RankSpace {
  const { shards, tests } = programSizes(recipe, counts);
  const options = compileOptionsOf(recipe);
  const trains = shards.map((size) => compileProgram(model, 'train', size, options));
  const programs = [...tests.map((size) => compileProgram(model, 'evaluate', size, options)), ...trains];
  const sharedBytes = Math.max(...programs.map(({ regions }) => regions.own));
  const units = Math.max(...programs.map(({ prepare }) => prepare.length));
  const ownBytes = Math.max(...programs.map(({ arenaBytes, regions }) => arenaBytes - regions.own));
  if (recipe.batchNorm === 'shard') return { sharedBytes, ownBytes, units };
  const { pool, own } = (trains[0] as Program).regions;
  const ofBays = wholePages(pool - own + bays * largestBay(trains));
  const bytes = sharedBytes + ofBays;
  if (bytes <= largestArenaBytes) return { sharedBytes, ownBytes: Math.max(ownBytes, ofBays), units };
  const gibibytes = (bytes / 2 ** 30).toFixed(2);
  throw new LockstepError(
    'ARENA_TOO_LARGE',
    `${model.title} in batch-norm mode 'sync' needs an arena of ${gibibytes} GiB for the ${bays} shards that a rank ` +
      'holds at a time; WebAssembly ends at 4 GiB.',
    "Take more threads, a smaller batchSize or batchNorm 'shard'.",
    { bytes, bays, limit: largestArenaBytes },
  );
}

/** Bytes of all that belongs to one shard in batch-norm mode `sync`: its bay. @throws LockstepError ARENA_TOO_LARGE */
export function bayBytesOf(recipe: Recipe, model: Model, counts: SplitCounts): number {
  const options = compileOptionsOf(recipe);
  return largestBay(
    programSizes(recipe, counts).shards.map((size) => compileProgram(model, 'train', size, options)),
  );
}

function largestBay(programs: readonly Program[]): number {
  return Math.max(...programs.map(({ arenaBytes, regions }) => align(arenaBytes - regions.pool)));
}

/** How a recipe's programs are compiled. @param sync for how large a batch and where, in batch-norm mode `sync` */
export function compileOptionsOf(
  { batchNormEpsilon, convolution, batchNorm, batchSize }: Recipe,
  sync: CompileOptions['sync'] = { batchSamples: batchSize, shift: 0 },
): CompileOptions {
  const options = { batchNormEpsilon, convolution };
  // In mode `sync` several shards are in the arena at a time, each in the middle of its program.
  return batchNorm === 'sync' ? { ...options, sync } : { ...options, parameters: 'passing' };
}

/** Whether the ranks of one process, when they compute all shards, let two of them share a gradient slot. */
export function sharesSlots({ batchNorm }: Pick<Recipe, 'batchNorm'>): boolean {
  // In mode `sync` a shard may be computed again from other totals.
  return batchNorm === 'shard';
}

/** The store of a process that takes part in a run. */
export function storeShapeOf(
  { shardsPerStep, batchSize }: Pick<Recipe, 'shardsPerStep' | 'batchSize'>,
  layout: Layout,
  use: {
    readonly state: readonly string[];
    readonly ranks: number;
    readonly outboxes?: number | undefined;
    readonly sharedSlots?: boolean | undefined;
  },
): StoreShape {
  return {
    parameterCount: layout.parameterCount,
    totalCount: layout.totalCount,
    batchNormChannels: layout.batchNormChannels,
    shardsPerStep,
    state: use.state,
    ranks: use.ranks,
    scratchBytes: treeSumScratchBytes(chunkFloats),
    outboxes: use.outboxes ?? 0,
    ...(use.sharedSlots === true
      ? {
          pairChunks: pairChunkCount(layout),
          roundSamples: batchSize,
          roundUnits: updateUnits(gradientParts(layout)).length,
        }
      : {}),
  };
}

/** Shards that each of so many ranks holds in batch-norm mode `sync`, so that together they hold any step. */
export function baysOf({ shardsPerStep }: Pick<Recipe, 'shardsPerStep'>, ranks: number): number {
  return Math.ceil(shardsPerStep / ranks);
}
