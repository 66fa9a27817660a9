/** Steps of a run on so many ranks of this process: what they cost besides arithmetic. */
import { sampleSteps } from '@lockstep/coordinator/metrics/step-sampling.ts';
import { openSession } from '@lockstep/coordinator/session.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import type { KernelChoice } from '@lockstep/worker/rank/kernel-choice.ts';
import { processorSeconds } from '../simulate/measure/process-time.ts';
import { type GradientTraffic, gradientTraffic, StepCounts } from './step-counts.ts';

/** Of one step, on average. */
export interface RankFigures {
  readonly ranks: number;
  readonly imagesPerSecond: number;
  /** Processor time of all threads, in seconds. */
  readonly cpuSeconds: number;
  /** Times that a thread went to sleep: the synchronisations that the system saw. */
  readonly sleeps: number;
  readonly tasks: number;
  readonly messageBytes: number;
  readonly reducedFloats: number;
  readonly packedFloats: number;
  readonly gradient: GradientTraffic;
  /** After `warmUpSteps` steps: the same for any number of ranks. */
  readonly weightsSha256: string;
}

/** Steps that are not measured: code is compiled, memory touched for the first time. */
export const warmUpSteps = 3;

export interface RankOptions {
  readonly recipe: Recipe;
  readonly dataset: Dataset;
  readonly kernels: KernelChoice;
  readonly seconds: number;
}

/** @throws LockstepError as `openSession` */
export async function measureRanks(ranks: number, options: RankOptions): Promise<RankFigures> {
  const { recipe, dataset, kernels, seconds } = options;
  const session = await openSession({ recipe, dataset, threads: ranks, kernels });
  try {
    session.truth.begin(recipe.seed);
    const counts = new StepCounts(session.pool);
    await sampleSteps(session, options, warmUpSteps);
    const weightsSha256 = session.truth.weightsSha256();
    counts.take();
    const [cpuBefore, sleepsBefore] = [processorSeconds(), sleepsSoFar()];
    const sample = await sampleSteps(session, options, (so) => so.seconds >= seconds);
    const [cpuAfter, sleepsAfter] = [processorSeconds(), sleepsSoFar()];
    const { steps, images } = sample;
    const { tasks, messageBytes, reducedFloats, packedFloats } = counts.take();
    const { pairChunks } = session.truth.store.layout;
    return {
      ranks,
      imagesPerSecond: images / sample.seconds,
      cpuSeconds: (cpuAfter - cpuBefore) / steps,
      sleeps: (sleepsAfter - sleepsBefore) / steps,
      tasks: tasks / steps,
      messageBytes: messageBytes / steps,
      reducedFloats: reducedFloats / steps,
      packedFloats: packedFloats / steps,
      gradient: gradientTraffic(session.layout.parameterCount, recipe.shardsPerStep, pairChunks ?? null),
      weightsSha256,
    };
  } finally {
    await session.close();
  }
}

function sleepsSoFar(): number {
  return process.resourceUsage().voluntaryContextSwitches;
}
