/** A session: a model, its kernels, the store and the ranks of this process, ready to compute. */
import type { Layout } from '@lockstep/shared/model/layout.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { stateNames } from '@lockstep/shared/optimizer/rule.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { chooseKernels, type KernelChoice } from '@lockstep/worker/rank/kernel-choice.ts';
import { type RankHost, startHost } from '@lockstep/worker/rank/rank-host.ts';
import type { MemoryUse } from '@lockstep/worker/rank/hall.ts';
import type { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import { sharesSlots } from '@lockstep/worker/rank/run-shape.ts';
import { LocalRound } from './cluster/local-round.ts';
import { LocalRanks } from './cluster/local-ranks.ts';
import type { LostListener, WorkEnd, Workforce } from './cluster/workforce.ts';
import { LocalSync } from './reduce/local-sync.ts';
import { Truth } from './reduce/truth.ts';

/** What a workforce is made of: the ranks of this process, which always reduce, and often compute. */
export interface WorkforceParts {
  readonly recipe: Recipe;
  readonly dataset: Dataset;
  readonly host: RankHost;
  readonly kernels: KernelChoice;
  readonly onLost: LostListener;
}

export type WorkforceFactory = (parts: WorkforceParts) => Promise<Workforce>;

export interface SessionOptions {
  readonly recipe: Recipe;
  readonly dataset: Dataset;
  readonly threads: number;
  readonly profiled?: boolean;
  readonly onLost?: LostListener;
  /** Kernels chosen before, to spare the measurement. */
  readonly kernels?: KernelChoice;
  /** Who computes; the ranks of this process unless somebody says otherwise. */
  readonly workforce?: WorkforceFactory;
}

export interface Session {
  readonly model: Model;
  readonly layout: Layout;
  readonly kernels: KernelChoice;
  readonly truth: Truth;
  readonly pool: RankPool;
  readonly workforce: Workforce;
  readonly memory: MemoryUse;
  close(end?: WorkEnd): Promise<void>;
}

/** The ranks of this process alone. */
async function localWorkforce({ recipe, host, onLost }: WorkforceParts): Promise<Workforce> {
  const { pool, store, layout } = host;
  const way = sharesSlots(recipe)
    ? { round: new LocalRound(pool, store, layout, onLost) }
    : { sync: new LocalSync(store, layout) };
  return new LocalRanks(pool, onLost, way);
}

/**
 * Opens a session: chooses kernels, allocates the store, starts the ranks. The truth is still all zeros.
 *
 * @throws LockstepError MODEL_UNKNOWN, MODEL_INVALID, ARENA_TOO_LARGE, KERNELS_MISSING, NUMERICS_UNSUPPORTED,
 *   RANK_FAILED, and what the workforce's factory throws
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { recipe, dataset, threads } = options;
  const kernels = options.kernels ?? (await chooseKernels(recipe.arithmetic));
  const state = stateNames(recipe.optimizer);
  const isLocal = options.workforce === undefined;
  const host = await startHost({
    recipe,
    dataset,
    threads,
    kernels,
    state,
    profiled: options.profiled ?? false,
    takesSums: !isLocal,
    // Sums that come from elsewhere need a slot for every shard.
    sharedSlots: isLocal && sharesSlots(recipe),
  });
  const { model, layout, store, pool, memory } = host;
  const onLost = options.onLost ?? (() => {});
  let workforce: Workforce;
  try {
    workforce = await (options.workforce ?? localWorkforce)({ recipe, dataset, host, kernels, onLost });
  } catch (thrown) {
    await pool.close();
    throw thrown;
  }
  const truth = new Truth(layout, store);
  const close = (end?: WorkEnd): Promise<void> => workforce.close(end);
  return { model, layout, kernels, truth, pool, workforce, memory, close };
}
