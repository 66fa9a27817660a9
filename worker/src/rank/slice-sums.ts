/** Sums over the slots of the store, in slices: for the optimizer, or for whoever sends a subtree's sum. */
import { dtypeCodes } from '@lockstep/shared/kernels/short-floats.ts';
import { bytesPerFloat } from '@lockstep/shared/protocol/dtype.ts';
import { summationSchedule } from '@lockstep/shared/protocol/subtree.ts';
import { align } from '@lockstep/shared/model/memory-plan.ts';
import { updateCall } from '@lockstep/shared/optimizer/rule.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { chunkFloats, otherSide, scheduleBytes } from './store.ts';
import type { Cover, SliceReport, SliceTask, SubtreeOutlet } from './tasks.ts';
import type { Workbench } from './workbench.ts';

/** What sums and updates need: that of a rank, or of the main thread, which has a scratch of its own. */
export type SliceTools = Pick<Workbench, 'store' | 'storeKernels' | 'account'> & {
  readonly setup: { readonly recipe: Recipe; readonly index: number };
};

/** A range of the flat gradient. */
interface Range {
  readonly from: number;
  readonly to: number;
}

/** Covers of one shard each. */
function singles(width: number): Cover[] {
  return Array.from({ length: width }, (_, from) => ({ from, width: 1, slot: from }));
}

/** Covers of two neighbours each, the last one perhaps of a single shard, in slots that they share. */
function pairs(width: number): Cover[] {
  return Array.from({ length: Math.ceil(width / 2) }, (_, pair) => ({
    from: 2 * pair,
    width: Math.min(2, width - 2 * pair),
    slot: pair,
  }));
}

/**
 * The order of summation: numbers of slots, and additions.
 *
 * @throws Error when they are no tiling of the tree
 */
function orderOf(leaves: number, covers: readonly Cover[]): Int32Array {
  const made = summationSchedule(leaves, covers);
  if (!made.ok) throw new Error(made.reason);
  return made.program.map((step) => (step < 0 ? step : (covers[step] as Cover).slot));
}

export class SliceSums {
  private readonly bench: SliceTools;
  private readonly dtype: number;
  /** Byte offsets in the store of this rank's summed chunk, order of summation and scratch. */
  private readonly sum: number;
  private readonly schedule: number;
  private readonly scratch: number;

  constructor(bench: SliceTools) {
    this.bench = bench;
    const { layout } = bench.store;
    this.dtype = dtypeCodes[bench.setup.recipe.wireDtype];
    this.sum = bench.store.scratchOf(bench.setup.index);
    this.schedule = this.sum + align(4 * chunkFloats);
    this.scratch = this.schedule + scheduleBytes(layout.shardsPerStep);
  }

  /** Chunk by chunk: sum all shards, look for NaN, update. Reads one side of the store, writes the other. */
  update(task: SliceTask): SliceReport {
    const begun = performance.now();
    const { setup, store, storeKernels } = this.bench;
    const { layout } = store;
    const { side } = task;
    const shards = layout.shardsPerStep;
    // Where shards share slots, nobody else brings sums: whatever the task says, the slots hold those of pairs.
    const covers = layout.pairChunks === undefined ? (task.covers ?? singles(shards)) : pairs(shards);
    const order = orderOf(shards, covers);
    const notFinite = this.inChunks(0, order, task, (from, n) => {
      const at = (base: number): number => base + 4 * from;
      const call = updateCall(setup.recipe, task.update, task.learningRate, 1 / task.samples, {
        weights: at(layout.weights[side]),
        gradient: this.sum,
        weightsOut: at(layout.weights[otherSide(side)]),
        state: layout.optimizer[side].map(at),
        stateOut: layout.optimizer[otherSide(side)].map(at),
        n,
      });
      storeKernels[call.kernel](...call.values);
    });
    // Sums are read, weights and state are read and written.
    const streams = covers.length + 2 * (1 + layout.optimizer[side].length);
    this.bench.account('reduction', begun, 'sum and update', 4 * streams * (task.to - task.from));
    return { kind: 'slice', notFinite };
  }

  /** Sums a subtree's slots into its outbox. @returns how many of the sums are NaN or infinite */
  collect(subtree: SubtreeOutlet, range: Range): number {
    const begun = performance.now();
    const { store, setup, storeKernels } = this.bench;
    const { outbox, slotBytes } = store.layout;
    const floatBytes = bytesPerFloat[setup.recipe.wireDtype];
    const order = orderOf(subtree.width, singles(subtree.width));
    const notFinite = this.inChunks(subtree.from, order, range, (from, n) => {
      const to = outbox + subtree.outbox * slotBytes + floatBytes * from;
      if (this.dtype === dtypeCodes.f32) storeKernels.roundFloats(this.sum, n, this.dtype, to);
      else storeKernels.narrowFloats(this.sum, n, this.dtype, to);
    });
    this.bench.account(
      'reduction',
      begun,
      'sum of a subtree',
      4 * (subtree.width + 1) * (range.to - range.from),
    );
    return notFinite;
  }

  /** Sums slots from `first` on, a chunk at a time. @returns how many of the sums are NaN or infinite */
  private inChunks(
    first: number,
    order: Int32Array,
    range: Range,
    then: (from: number, n: number) => void,
  ): number {
    const { store, storeKernels } = this.bench;
    const { slots, slotBytes } = store.layout;
    store.arena.int32(this.schedule, order.length).set(order);
    let notFinite = 0;
    for (let from = range.from; from < range.to; from += chunkFloats) {
      const n = Math.min(chunkFloats, range.to - from);
      const places = [slots + first * slotBytes, slotBytes, this.schedule, order.length, from, n] as const;
      storeKernels.treeSum(...places, this.dtype, this.sum, this.scratch);
      notFinite += storeKernels.countNonFinite(this.sum, n) ?? 0;
      then(from, n);
    }
    return notFinite;
  }
}
