/** What follows from a recipe and the shape of its data set alone: the model and the memory of a rank. */
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { inferShapes } from '@lockstep/shared/model/shapes.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import { shardSizes } from '@lockstep/shared/plan/batch-plan.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset, SplitName } from '../data/dataset.ts';

/** Images that one evaluation task takes: large enough to be fast, small enough for the arena. */
export const evaluationShard = 100;

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

/** Bytes of one rank's arena: the largest of the programs that a run needs. @throws LockstepError ARENA_TOO_LARGE */
export function arenaBytesOf(recipe: Recipe, model: Model, dataset: SplitCounts): number {
  const options = { batchNormEpsilon: recipe.batchNormEpsilon };
  const sizes = shardSizes(recipe, dataset.train.count);
  const tests = [evaluationShard, dataset.test.count % evaluationShard].filter((size) => size > 0);
  return Math.max(
    ...sizes.map((size) => compileProgram(model, 'train', size, options).arenaBytes),
    ...tests.map((size) => compileProgram(model, 'evaluate', size, options).arenaBytes),
  );
}
