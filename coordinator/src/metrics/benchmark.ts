/** Throughput for 1..N threads against one thread, rounds alternating, and where the time goes. */
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { CoreTrial } from '@lockstep/worker/rank/core-trial.ts';
import { chooseKernels } from '@lockstep/worker/rank/kernel-choice.ts';
import { median } from '../plan/program-timing.ts';
import { openSession, type Session } from '../session.ts';
import { measureRoofs } from './roofs.ts';
import { type Sample, sampleSteps } from './step-sampling.ts';
import { type ProfileShare, profileShares, type TimeProfile, timeProfile } from './time-profile.ts';

export interface BenchmarkOptions {
  readonly recipe: Recipe;
  readonly dataset: Dataset;
  /** The largest number of threads. */
  readonly threads: number;
  readonly rounds: number;
  /** Seconds of measurement for each number of threads in each round. */
  readonly seconds: number;
  /** Also kernel by kernel, against what the machine can do. */
  readonly detailed: boolean;
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
  /** What so many threads that share nothing, and touch no memory, are to one: median of ratios, round by round. */
  readonly coresGive: number;
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
  /** Of the same steps; null unless it was asked for. */
  readonly details: TimeProfile | null;
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
  const cores = new Map<number, number[]>(counts.map((count) => [count, []]));
  const trial = await CoreTrial.start(kernels, threads);
  try {
    for (const count of counts) sessions.push(await startSession(options, count, kernels));
    for (let round = -1; round < rounds && !options.signal.aborted; round++) {
      for (const [i, count] of counts.entries()) {
        // The first round warms up: code is still being compiled, memory touched for the first time.
        const rate = rateOf(
          await measureSteps(sessions[i] as Session, options, round < 0 ? seconds / 2 : seconds),
        );
        if (round >= 0) {
          measured.get(count)?.push(rate);
          cores.get(count)?.push(await trial.rate(count, trialMilliseconds));
        }
        const done = (round + 1) * counts.length + i + 1;
        onProgress(
          done / ((rounds + 1) * counts.length + 1),
          `${count} threads: ${rate.toFixed(0)} images/s`,
        );
      }
    }
  } finally {
    for (const session of sessions) await session.close();
    await trial.close();
  }
  const { profile, details } = await measureProfile(options, kernels);
  onProgress(1, 'done');
  const figures = counts.map((count) => figuresOf(count, measured, cores));
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
    rounds: measured.get(1)?.length ?? 0,
    figures,
    profile,
    details,
  };
}

/** How long threads show what the cores give, right after the steps of as many ranks. */
const trialMilliseconds = 250;

/** Rates of all rounds, by threads. */
type RoundRates = ReadonlyMap<number, readonly number[]>;

/** Pure. Ratios are taken within a round: from one to the next the machine may change its speed. */
export function figuresOf(threads: number, measured: RoundRates, cores: RoundRates): ThreadFigures {
  const toOne = (rates: RoundRates): number => {
    const single = rates.get(1) ?? [];
    return median((rates.get(threads) ?? []).map((rate, i) => rate / (single[i] ?? Number.NaN)));
  };
  const speedup = toOne(measured);
  return {
    threads,
    imagesPerSecond: median(measured.get(threads) ?? []),
    speedup,
    efficiency: speedup / threads,
    coresGive: toOne(cores),
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

/** Whole steps, committed as in a run. */
function measureSteps(session: Session, options: BenchmarkOptions, seconds: number): Promise<Sample> {
  return sampleSteps(session, options, (so) => so.seconds > seconds, options.signal);
}

/** Images per second. */
function rateOf({ images, seconds }: Sample): number {
  return images / seconds;
}

/** Where the time of all threads goes, kernel by kernel; what is left is waiting. */
async function measureProfile(
  options: BenchmarkOptions,
  kernels: Kernels,
): Promise<Pick<BenchmarkReport, 'profile' | 'details'>> {
  const { threads, seconds, detailed } = options;
  const roofs = detailed ? measureRoofs(kernels.build, kernels.module) : null;
  const session = await startSession(options, threads, kernels, true);
  try {
    await measureSteps(session, options, seconds / 2);
    await session.pool.takeProfiles();
    const { seconds: elapsed, steps } = await measureSteps(session, options, seconds);
    const wall = elapsed * threads;
    const profiles = await session.pool.takeProfiles();
    return {
      profile: profileShares(profiles, wall),
      details: roofs && timeProfile(profiles, { wall, steps, workingSet: session.memory.arenaBytes }, roofs),
    };
  } finally {
    await session.close();
  }
}
