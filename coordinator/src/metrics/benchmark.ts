/** Throughput for 1..N threads against one thread, rounds alternating, and where the time goes. */
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { chooseKernels } from '@lockstep/worker/rank/kernel-choice.ts';
import type { Profile } from '@lockstep/worker/rank/profile.ts';
import { median } from '../plan/program-timing.ts';
import { openSession, type Session } from '../session.ts';
import { sampleSteps } from './step-sampling.ts';

export interface BenchmarkOptions {
  readonly recipe: Recipe;
  readonly dataset: Dataset;
  /** The largest number of threads. */
  readonly threads: number;
  readonly rounds: number;
  /** Seconds of measurement for each number of threads in each round. */
  readonly seconds: number;
  readonly signal: AbortSignal;
}

export interface ThreadFigures {
  readonly threads: number;
  /** Median over the rounds. */
  readonly imagesPerSecond: number;
  /** Median of the ratios to one thread, round by round. */
  readonly speedup: number;
  /** Speed-up divided by threads. */
  readonly efficiency: number;
}

export interface ProfileShare {
  readonly name: string;
  /** Share of all threads' time, 0..1. */
  readonly share: number;
}

export interface BenchmarkReport {
  readonly type: 'result';
  readonly model: string;
  readonly dataset: string;
  readonly batchSize: number;
  readonly shardsPerStep: number;
  readonly kernels: string;
  readonly kernelsReason: string;
  readonly rounds: number;
  readonly figures: readonly ThreadFigures[];
  /** With all threads: kinds of kernels, loading, reduction, waiting; largest first. */
  readonly profile: readonly ProfileShare[];
}

/** 1, 2, 3 ... up to 8, then powers of two, and the number asked for. */
export function threadCounts(most: number): number[] {
  const counts = Array.from({ length: most }, (_, i) => i + 1);
  return counts.filter((n) => n <= 8 || n === most || Number.isInteger(Math.log2(n)));
}

/** Measures. Progress is told as a share of all rounds. @throws LockstepError as `openSession` */
export async function benchmark(
  options: BenchmarkOptions,
  onProgress: (share: number, text: string) => void,
): Promise<BenchmarkReport> {
  const { recipe, dataset, rounds, seconds, threads } = options;
  const kernels = await chooseKernels(recipe.arithmetic);
  const counts = threadCounts(threads);
  const sessions: Session[] = [];
  const measured = new Map<number, number[]>(counts.map((count) => [count, []]));
  try {
    for (const count of counts) sessions.push(await startSession(options, count, kernels));
    for (let round = -1; round < rounds && !options.signal.aborted; round++) {
      for (const [i, count] of counts.entries()) {
        // The first round warms up: code is still being compiled, memory touched for the first time.
        const rate = await measureRate(sessions[i] as Session, options, round < 0 ? seconds / 2 : seconds);
        if (round >= 0) measured.get(count)?.push(rate);
        const done = (round + 1) * counts.length + i + 1;
        onProgress(
          done / ((rounds + 1) * counts.length + 1),
          `${count} threads: ${rate.toFixed(0)} images/s`,
        );
      }
    }
  } finally {
    for (const session of sessions) await session.close();
  }
  const profile = await measureProfile(options, kernels);
  onProgress(1, 'done');
  const single = measured.get(1) ?? [];
  const figures = counts.map((count) => {
    const rates = measured.get(count) ?? [];
    const speedup = median(rates.map((rate, i) => rate / (single[i] ?? Number.NaN)));
    return { threads: count, imagesPerSecond: median(rates), speedup, efficiency: speedup / count };
  });
  const { build, reason } = kernels;
  const { batchSize, shardsPerStep } = recipe;
  const model = sessions[0]?.model.title ?? recipe.model;
  return {
    type: 'result',
    model,
    dataset: dataset.title,
    batchSize,
    shardsPerStep,
    kernels: build,
    kernelsReason: reason,
    rounds: single.length,
    figures,
    profile,
  };
}

type Kernels = Awaited<ReturnType<typeof chooseKernels>>;

async function startSession(
  options: BenchmarkOptions,
  threads: number,
  kernels: Kernels,
  profiled = false,
): Promise<Session> {
  const { recipe, dataset } = options;
  const session = await openSession({ recipe, dataset, threads, kernels, profiled });
  session.truth.begin(recipe.seed);
  return session;
}

/** Images per second of whole steps, committed as in a run. */
async function measureRate(session: Session, options: BenchmarkOptions, seconds: number): Promise<number> {
  const sample = await sampleSteps(session, options, (so) => so.seconds > seconds, options.signal);
  return sample.images / sample.seconds;
}

/** Where the time of all threads goes, kernel by kernel; what is left is waiting. */
async function measureProfile(options: BenchmarkOptions, kernels: Kernels): Promise<ProfileShare[]> {
  const { threads, seconds } = options;
  const session = await startSession(options, threads, kernels, true);
  try {
    await measureRate(session, options, seconds / 2);
    await session.pool.takeProfiles();
    const begun = performance.now();
    await measureRate(session, options, seconds);
    const wall = ((performance.now() - begun) / 1000) * threads;
    return profileShares(await session.pool.takeProfiles(), wall);
  } finally {
    await session.close();
  }
}

/** Sums profiles of all threads to shares of `wall` seconds; what nobody counted is waiting. */
export function profileShares(profiles: readonly Profile[], wall: number): ProfileShare[] {
  const sums = new Map<string, number>();
  for (const profile of profiles) {
    for (const [name, seconds] of Object.entries(profile)) sums.set(name, (sums.get(name) ?? 0) + seconds);
  }
  const busy = [...sums.values()].reduce((a, b) => a + b, 0);
  sums.set('waiting', Math.max(0, wall - busy));
  return [...sums]
    .map(([name, seconds]) => ({ name, share: seconds / wall }))
    .toSorted((a, b) => b.share - a.share);
}
