/** A session: a model, its kernels, the store and the ranks of this process, ready to compute. */
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { type Layout, layOut } from '@lockstep/shared/model/layout.ts';
import { inferShapes } from '@lockstep/shared/model/shapes.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import { treeSumScratchBytes } from '@lockstep/shared/kernels/reduction.ts';
import { stateNames } from '@lockstep/shared/optimizer/rule.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset, SplitName } from '@lockstep/worker/data/dataset.ts';
import { chooseKernels, type KernelChoice } from '@lockstep/worker/rank/kernel-choice.ts';
import { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import { chunkFloats, Store } from '@lockstep/worker/rank/store.ts';
import { LocalRanks } from './cluster/local-ranks.ts';
import type { LostListener } from './cluster/workforce.ts';
import { shardSizes } from './plan/batch-plan.ts';
import { Truth } from './reduce/truth.ts';

/** Images that one evaluation task takes: large enough to be fast, small enough for the arena. */
export const evaluationShard = 100;

export interface SessionOptions {
  readonly recipe: Recipe;
  readonly dataset: Dataset;
  readonly threads: number;
  readonly profiled?: boolean;
  readonly onLost?: LostListener;
  /** Kernels chosen before, to spare the measurement. */
  readonly kernels?: KernelChoice;
}

export interface Session {
  readonly model: Model;
  readonly layout: Layout;
  readonly kernels: KernelChoice;
  readonly truth: Truth;
  readonly pool: RankPool;
  readonly workforce: LocalRanks;
  readonly arenaBytes: number;
  readonly storeBytes: number;
  close(): Promise<void>;
}

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

/** What a model must know of a data set. */
export type ImagesOf = Pick<Dataset, 'height' | 'width' | 'channels' | 'classes'>;

/** How many images each split has. */
export type SplitCounts = Readonly<Record<SplitName, { readonly count: number }>>;

/** Bytes of one rank's arena: the largest of the programs that a run needs. @throws LockstepError ARENA_TOO_LARGE */
export function arenaBytesOf(recipe: Recipe, model: Model, dataset: SplitCounts): number {
  const sizes = shardSizes(recipe, dataset.train.count);
  const tests = [evaluationShard, dataset.test.count % evaluationShard].filter((size) => size > 0);
  return Math.max(
    ...sizes.map((size) => compileProgram(model, 'train', size, recipe).arenaBytes),
    ...tests.map((size) => compileProgram(model, 'evaluate', size, recipe).arenaBytes),
  );
}

/**
 * Opens a session: chooses kernels, allocates the store, starts the ranks. The truth is still all zeros.
 *
 * @throws LockstepError MODEL_UNKNOWN, MODEL_INVALID, ARENA_TOO_LARGE, KERNELS_MISSING, NUMERICS_UNSUPPORTED, RANK_FAILED
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { recipe, dataset, threads } = options;
  const model = modelFor(recipe, dataset);
  const layout = layOut(model);
  const arenaBytes = arenaBytesOf(recipe, model, dataset);
  const kernels = options.kernels ?? (await chooseKernels(recipe.arithmetic));
  const store = Store.allocate({
    parameterCount: layout.parameterCount,
    totalCount: layout.totalCount,
    batchNormChannels: layout.batchNormChannels,
    shardsPerStep: recipe.shardsPerStep,
    state: stateNames(recipe.optimizer),
    ranks: threads,
    scratchBytes: treeSumScratchBytes(chunkFloats),
  });
  const setup = {
    recipe,
    model,
    dataset,
    arenaBytes,
    module: kernels.module,
    storeMemory: store.arena.memory,
    storeLayout: store.layout,
    profiled: options.profiled ?? false,
  };
  const pool = await RankPool.start(setup, threads);
  const workforce = new LocalRanks(pool, options.onLost ?? (() => {}));
  const truth = new Truth(layout, store, batchNormPixels(model));
  const storeBytes = store.layout.bytes;
  const close = (): Promise<void> => workforce.close();
  return { model, layout, kernels, truth, pool, workforce, arenaBytes, storeBytes, close };
}

/** Height times width of each batch-norm's input. */
function batchNormPixels(model: Model): Map<string, number> {
  const shapes = inferShapes(model);
  const pixels = new Map<string, number>();
  for (const layer of model.layers) {
    const shape = shapes.get(layer.name);
    if (layer.kind === 'batch-norm' && shape) pixels.set(layer.name, shape.height * shape.width);
  }
  return pixels;
}
