/** Steps of a run on so many ranks of this process: what they cost besides arithmetic. */
import { runSteps } from '@lockstep/coordinator/run-loop.ts';
import { openSession, type Session } from '@lockstep/coordinator/session.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import type { KernelChoice } from '@lockstep/worker/rank/kernel-choice.ts';
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
    await advance(session, options, ({ steps }) => steps >= warmUpSteps);
    const weightsSha256 = session.truth.weightsSha256();
    counts.take();
    const before = usage();
    const { steps, images } = await advance(session, options, (done) => done.seconds >= seconds);
    const after = usage();
    const { tasks, messageBytes, reducedFloats } = counts.take();
    const { pairChunks } = session.truth.store.layout;
    return {
      ranks,
      imagesPerSecond: images / (after.seconds - before.seconds),
      cpuSeconds: (after.cpuSeconds - before.cpuSeconds) / steps,
      sleeps: (after.sleeps - before.sleeps) / steps,
      tasks: tasks / steps,
      messageBytes: messageBytes / steps,
      reducedFloats: reducedFloats / steps,
      gradient: gradientTraffic(session.layout.parameterCount, recipe.shardsPerStep, pairChunks ?? null),
      weightsSha256,
    };
  } finally {
    await session.close();
  }
}

interface Progress {
  readonly steps: number;
  readonly images: number;
  readonly seconds: number;
}

/** Commits steps until there are enough. */
async function advance(
  { workforce, truth }: Session,
  { recipe, dataset }: RankOptions,
  enough: (progress: Progress) => boolean,
): Promise<Progress> {
  const begun = performance.now();
  const end = new AbortController();
  let progress: Progress = { steps: 0, images: 0, seconds: 0 };
  const lastStep = Number.MAX_SAFE_INTEGER;
  const run = { recipe, trainCount: dataset.train.count, lastStep, workforce, truth, signal: end.signal };
  await runSteps(run, async ({ plan }) => {
    const images = progress.images + plan.samples;
    progress = { steps: progress.steps + 1, images, seconds: (performance.now() - begun) / 1000 };
    if (enough(progress)) end.abort();
  });
  return progress;
}

/** Of this process so far. */
function usage(): { seconds: number; cpuSeconds: number; sleeps: number } {
  const { userCPUTime, systemCPUTime, voluntaryContextSwitches } = process.resourceUsage();
  return {
    seconds: performance.now() / 1000,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    sleeps: voluntaryContextSwitches,
  };
}
