/** Whole training steps on a few small images: with one rank in this thread, or on a pool of threads. */
import type { Workforce } from '@lockstep/coordinator/cluster/workforce.ts';
import { Truth } from '@lockstep/coordinator/reduce/truth.ts';
import { type CommittedStep, runSteps } from '@lockstep/coordinator/run-loop.ts';
import { openSession, type Session } from '@lockstep/coordinator/session.ts';
import { Halls } from '@lockstep/worker/rank/hall.ts';
import { modelFor, rankSpaceOf, storeShapeOf } from '@lockstep/worker/rank/run-shape.ts';
import type { BuildName } from '@lockstep/shared/kernels/build-name.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import { stateNames } from '@lockstep/shared/optimizer/rule.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { describeDataset } from '@lockstep/worker/data/catalogue.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { generateDataset } from '@lockstep/worker/data/synthetic.ts';
import type { KernelChoice } from '@lockstep/worker/rank/kernel-choice.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import { Rank } from '@lockstep/worker/rank/rank.ts';
import { Store } from '@lockstep/worker/rank/store.ts';
import type { Fault } from '@lockstep/worker/rank/rank-thread.ts';
import type { RankTask, ReportOf } from '@lockstep/worker/rank/tasks.ts';

/** The synthetic patterns, fewer and smaller. */
export function smallDataset(trainCount: number, size: number): Dataset {
  const entry = describeDataset('synthetic');
  return generateDataset({ ...entry, height: size, width: size, trainCount, testCount: 7, sha256: null });
}

/** One rank in this thread that does everything. */
class InlineRank implements Workforce {
  readonly ranks = 1;
  readonly nodes = 1;
  readonly rank: Rank;

  constructor(rank: Rank) {
    this.rank = rank;
  }

  private async all<T extends RankTask>(tasks: readonly T[]): Promise<ReportOf<T>[]> {
    return tasks.map((task) => this.rank.run(task) as ReportOf<T>);
  }

  async publish(): Promise<void> {}
  async gathered(): Promise<void> {}
  computeShards: Workforce['computeShards'] = (tasks) => this.all(tasks);
  updateSlices: Workforce['updateSlices'] = (tasks) => this.all(tasks);
  evaluate: Workforce['evaluate'] = (tasks) => this.all(tasks);
  async close(): Promise<void> {}
}

/** A run whose only rank lives in this thread, at its first weights. */
export async function inlineRun(
  recipe: Recipe,
  dataset: Dataset,
  build: BuildName = 'fma-narrow',
  { sharedSlots = false, profiled = false } = {},
) {
  const model = modelFor(recipe, dataset);
  const layout = layOut(model);
  const store = Store.allocate(
    storeShapeOf(recipe, layout, { state: stateNames(recipe.optimizer), ranks: 1, sharedSlots }),
  );
  const rank = new Rank({
    index: 0,
    recipe,
    model,
    dataset,
    module: await compileKernels(build),
    storeMemory: store.arena.memory,
    storeLayout: store.layout,
    hall: new Halls(rankSpaceOf(recipe, model, dataset), 1).seat(0),
    profiled,
  });
  const truth = new Truth(layout, store);
  truth.begin(recipe.seed);
  return { model, layout, store, rank, truth, workforce: new InlineRank(rank) };
}

/** A session on threads, at its first weights; kernels are not measured, so that the test is quick. */
export async function threadedRun(
  recipe: Recipe,
  dataset: Dataset,
  threads: number,
  onLost: (task: string, shard: number | null, reason: string) => void = () => {},
): Promise<Session> {
  const kernels: KernelChoice = {
    build: 'fma-narrow',
    module: await compileKernels('fma-narrow'),
    fingerprint: '',
    reason: 'a test asks for it',
  };
  const session = await openSession({ recipe, dataset, threads, kernels, onLost });
  session.truth.begin(recipe.seed);
  return session;
}

/**
 * Makes ranks fail in their next task, all of them at once. One that was lost before has to be there again first: how
 * soon it is replaced is up to the machine, and a drill of a rank that is not there is none.
 */
export async function failNext({ pool }: Session, how: Fault, ...ranks: readonly number[]): Promise<void> {
  while ((await pool.describe().catch(() => [])).length < pool.size) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(ranks.map((index) => pool.failNext(index, how)));
}

/**
 * Runs steps up to `lastStep`; returns what was committed.
 *
 * @param rests nothing is begun between two steps: ranks hear of a drill before the next one, and slots hold what this one
 *   left there
 */
export async function steps(
  recipe: Recipe,
  dataset: Dataset,
  run: { readonly truth: Truth; readonly workforce: Workforce },
  lastStep: number,
  afterCommit: (committed: CommittedStep) => Promise<void> = async () => {},
  rests = false,
): Promise<CommittedStep[]> {
  const committed: CommittedStep[] = [];
  const { truth, workforce } = run;
  const signal = new AbortController().signal;
  await runSteps(
    { recipe, trainCount: dataset.train.count, lastStep, workforce, truth, signal, restsAfter: () => rests },
    async (step) => {
      committed.push(step);
      await afterCommit(step);
    },
  );
  return committed;
}
