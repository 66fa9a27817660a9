/**
 * Which samples a step consumes, and which shard gets which: a pure function of the recipe and the step's
 * number. A sample belongs to one shard of one step of an epoch.
 */
import { permuteIndex } from '../base/random.ts';
import type { Recipe } from '../recipe.ts';

export interface StepPlan {
  /** Steps committed before this one. */
  readonly step: number;
  /** From 0. */
  readonly epoch: number;
  /** From 0. */
  readonly stepInEpoch: number;
  /** Samples of the whole step: the batch size, or what is left at the end of an epoch. */
  readonly samples: number;
  /** Indices into the training split for each shard; a shard may be empty. */
  readonly shards: readonly (readonly number[])[];
  readonly reason: string;
}

type BatchFields = Pick<Recipe, 'seed' | 'batchSize' | 'shardsPerStep'>;

/** Steps of one epoch; the last one may be smaller than a batch. */
export function stepsPerEpoch(trainCount: number, batchSize: number): number {
  return Math.ceil(trainCount / batchSize);
}

/** The number of steps after which a run ends: `steps` if given, else the recipe's epochs. */
export function lastStepOf(
  recipe: Pick<Recipe, 'steps' | 'epochs' | 'batchSize'>,
  trainCount: number,
): number {
  return recipe.steps ?? recipe.epochs * stepsPerEpoch(trainCount, recipe.batchSize);
}

/** Where shard k of a batch begins: slices as even as whole samples allow. */
export function shardStart(samples: number, shards: number, shard: number): number {
  return Math.floor((samples * shard) / shards);
}

/** Plans one step. */
export function planStep(recipe: BatchFields, trainCount: number, step: number): StepPlan {
  const perEpoch = stepsPerEpoch(trainCount, recipe.batchSize);
  const epoch = Math.floor(step / perEpoch);
  const stepInEpoch = step % perEpoch;
  const first = stepInEpoch * recipe.batchSize;
  const samples = Math.min(recipe.batchSize, trainCount - first);
  const shards = Array.from({ length: recipe.shardsPerStep }, (_, shard) => {
    const from = shardStart(samples, recipe.shardsPerStep, shard);
    const to = shardStart(samples, recipe.shardsPerStep, shard + 1);
    return Array.from({ length: to - from }, (__, i) =>
      permuteIndex(recipe.seed, epoch, trainCount, first + from + i),
    );
  });
  const reason =
    samples === recipe.batchSize
      ? `a whole batch of ${samples} in ${recipe.shardsPerStep} shards`
      : `the last ${samples} samples of the epoch in ${recipe.shardsPerStep} shards`;
  return { step, epoch, stepInEpoch, samples, shards, reason };
}

/** Every size that a shard of the run can have, without 0, largest first: a program is compiled for each. */
export function shardSizes(recipe: BatchFields, trainCount: number): number[] {
  const batches = new Set([Math.min(recipe.batchSize, trainCount), trainCount % recipe.batchSize]);
  const sizes = new Set<number>();
  for (const samples of batches) {
    sizes.add(Math.ceil(samples / recipe.shardsPerStep));
    sizes.add(Math.floor(samples / recipe.shardsPerStep));
  }
  sizes.delete(0);
  return [...sizes].toSorted((a, b) => b - a);
}
