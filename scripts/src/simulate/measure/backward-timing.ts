/** When the parts of a gradient become final: from the time of every call of the compiled program. */
import { timeProgram } from '@lockstep/coordinator/plan/program-timing.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import type { Program } from '@lockstep/shared/model/program.ts';
import { describeDataset } from '@lockstep/worker/data/catalogue.ts';
import { chooseKernels } from '@lockstep/worker/rank/kernel-choice.ts';
import { modelFor } from '@lockstep/worker/rank/run-shape.ts';

export interface PartTiming {
  readonly floats: number;
  /** Share of the backward pass after which the part is final. */
  readonly finalAt: number;
}

export interface BackwardTiming {
  /** Share of a step's arithmetic. */
  readonly backwardShare: number;
  readonly parts: readonly PartTiming[];
}

/** Runs a shard's program a few times, call by call. */
export async function timeBackward(name: string, shardSize: number): Promise<BackwardTiming> {
  const recipe = parseRecipe({ model: name, dataset: 'synthetic', batchSize: shardSize, shardsPerStep: 1 });
  const model = modelFor(recipe, describeDataset(recipe.dataset));
  const program = compileProgram(model, 'train', shardSize, recipe);
  const { module } = await chooseKernels(recipe.arithmetic);
  return backwardTiming(program, timeProgram(program, module));
}

/** Pure. @param seconds of each call of prepare, forward and backward, in that order */
export function backwardTiming(
  { parts, backward }: Pick<Program, 'parts' | 'backward'>,
  seconds: readonly number[],
): BackwardTiming {
  const sum = (times: readonly number[]): number => times.reduce((a, b) => a + b, 0);
  const calls = seconds.slice(seconds.length - backward.length);
  const all = sum(calls);
  return {
    backwardShare: all / sum(seconds),
    parts: parts.map((part) => ({
      floats: part.to - part.from,
      finalAt: sum(calls.slice(0, part.calls)) / all,
    })),
  };
}
