/** The ranks of this process with their store: what a coordinator and a node both start from. */
import { instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { layOut, type Layout } from '@lockstep/shared/model/layout.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '../data/dataset.ts';
import type { KernelChoice } from './kernel-choice.ts';
import { type MemoryUse, memoryUse } from './hall.ts';
import { RankPool } from './rank-pool.ts';
import { baysOf, modelFor, rankSpaceOf, storeShapeOf } from './run-shape.ts';
import { SliceSums } from './slice-sums.ts';
import { inboxesFor, Store } from './store.ts';
import type { SliceReport, SliceTask } from './tasks.ts';
import { WireFloats } from './wire-floats.ts';

export interface HostOptions {
  readonly recipe: Recipe;
  readonly dataset: Dataset;
  readonly threads: number;
  readonly kernels: KernelChoice;
  /** Names of the optimizer's state vectors; a node applies no updates and has none. */
  readonly state: readonly string[];
  readonly profiled?: boolean;
  /** Whether sums come in from elsewhere: the store then has inboxes, as many as there is room for. */
  readonly takesSums?: boolean;
  /** Subtrees whose sums may be under way at a time; only a node that sends them has any. */
  readonly outboxes?: number;
  /** Tasks that a rank may have at a time; 1 when absent. */
  readonly tasksPerRank?: number;
  /** Two shards share a gradient slot: only where the ranks of this process compute all of them. */
  readonly sharedSlots?: boolean;
}

export interface RankHost {
  readonly model: Model;
  readonly layout: Layout;
  readonly store: Store;
  readonly pool: RankPool;
  /** Floats of the store on their way out and in, for this thread. */
  readonly wire: WireFloats;
  /** Sums and updates a slice in this thread: for slices so small that a rank's answer would take longer. */
  readonly updateSlice: (task: SliceTask) => SliceReport;
  readonly memory: MemoryUse;
}

/**
 * Allocates the store and starts the ranks. The weights are still all zeros.
 *
 * @throws LockstepError MODEL_UNKNOWN, MODEL_INVALID, ARENA_TOO_LARGE, RANK_FAILED
 */
export async function startHost(options: HostOptions): Promise<RankHost> {
  const { recipe, dataset, threads, kernels } = options;
  const model = modelFor(recipe, dataset);
  const layout = layOut(model);
  const space = rankSpaceOf(recipe, model, dataset, baysOf(recipe, threads));
  const { state, outboxes, sharedSlots } = options;
  const shape = storeShapeOf(recipe, layout, { state, ranks: threads, outboxes, sharedSlots });
  const store = Store.allocate({ ...shape, inboxes: options.takesSums === true ? inboxesFor(shape) : 0 });
  const setup = {
    recipe,
    model,
    dataset,
    space,
    module: kernels.module,
    storeMemory: store.arena.memory,
    storeLayout: store.layout,
    profiled: options.profiled ?? false,
  };
  const pool = await RankPool.start(setup, threads, options.tasksPerRank);
  const storeKernels = instantiateKernels(kernels.module, store.arena.memory);
  const here = { store, storeKernels, account: () => {}, setup: { recipe, index: threads } };
  const sums = new SliceSums(here);
  return {
    model,
    layout,
    store,
    pool,
    wire: new WireFloats(store, storeKernels),
    updateSlice: (task) => sums.update(task),
    memory: memoryUse(space, threads, store.layout.bytes),
  };
}
