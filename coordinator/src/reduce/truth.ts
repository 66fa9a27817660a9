/** The truth: weights, optimizer state and running statistics, on the current side of the store. */
import { createHash } from 'node:crypto';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { initialise } from '@lockstep/shared/model/initialisation.ts';
import { runningOf, type Layout } from '@lockstep/shared/model/layout.ts';
import { mergeShardMoments, type ShardMoments, updateRunning } from '@lockstep/shared/reduce/moments.ts';
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { combineKnown } from '@lockstep/shared/reduce/tree.ts';
import { otherSide, type Side, type Store } from '@lockstep/worker/rank/store.ts';
import type { StepPlan } from '@lockstep/shared/plan/batch-plan.ts';

export class Truth {
  readonly layout: Layout;
  readonly store: Store;
  /** Steps committed. */
  step = 0;
  /** Updates the optimizer has applied. */
  updates = 0;
  /** The side that is true now; the other one is being written or waits to be. */
  side: Side = 0;

  constructor(layout: Layout, store: Store) {
    this.layout = layout;
    this.store = store;
  }

  /** Puts the first weights of a seed in place, made where they stay. */
  begin(seed: number): void {
    initialise(this.layout, seed, this.store.weights(this.side));
    for (const index of this.store.layout.state.keys()) this.store.state(this.side, index).fill(0);
    this.step = 0;
    this.updates = 0;
  }

  /**
   * Puts a checkpoint's state in place.
   *
   * @throws LockstepError MODEL_INVALID when it is the state of another model, or of other images or classes
   */
  restore(weights: Float32Array, state: readonly Float32Array[], step: number, updates: number): void {
    const { parameterCount, totalCount } = this.layout;
    this.refuseOther('weights and running statistics', weights.length, totalCount);
    for (const vector of state) this.refuseOther('values of optimizer state', vector.length, parameterCount);
    this.store.weights(this.side).set(weights);
    state.forEach((vector, index) => void this.store.state(this.side, index).set(vector));
    this.step = step;
    this.updates = updates;
  }

  private refuseOther(what: string, found: number, expected: number): void {
    if (found === expected) return;
    throw new LockstepError(
      'MODEL_INVALID',
      `The checkpoint holds ${found} ${what}, but the model has ${expected} for these images and classes.`,
      'Take the data set it was trained on, or one with images and classes like it.',
      { found, expected },
    );
  }

  /**
   * Makes a step part of the run: running statistics take the moments of the whole batch, the sides swap.
   *
   * @param covers subtrees whose merged moments lie where those of their first shards would
   */
  commit(
    plan: StepPlan,
    { batchNorm, batchNormMomentum }: Pick<Recipe, 'batchNorm' | 'batchNormMomentum'>,
    covers: readonly Subtree[],
  ): void {
    const next = otherSide(this.side);
    const from = this.store.weights(this.side);
    const to = this.store.weights(next);
    const { parameterCount } = this.layout;
    to.set(from.subarray(parameterCount), parameterCount);
    const lengths = plan.shards.map(({ length }) => length);
    const { samples, values } =
      batchNorm === 'sync'
        ? // Merged long ago.
          { samples: sum(lengths), values: this.store.batchTotals(0) }
        : this.batchMoments(lengths, covers);
    for (const { layer, channel, channels, pixels } of this.layout.batchNorms) {
      const batch = {
        count: pixels * samples,
        values: values.subarray(2 * channel, 2 * (channel + channels)),
      };
      const view = (role: 'running-mean' | 'running-variance'): Float32Array => {
        const { offset } = runningOf(this.layout, layer, role);
        return to.subarray(offset, offset + channels);
      };
      updateRunning(view('running-mean'), view('running-variance'), batch, batchNormMomentum);
    }
    this.side = next;
    this.step += 1;
    this.updates += 1;
  }

  /** Moments over the whole batch. @param lengths samples of each shard */
  private batchMoments(lengths: readonly number[], covers: readonly Subtree[]): ShardMoments {
    const known = new Map(covers.map((cover) => [cover.from, cover]));
    const merged = combineKnown<ShardMoments>(
      lengths.length,
      (from, width) =>
        known.get(from)?.width === width
          ? {
              samples: sum(lengths.slice(from, from + width)),
              values: this.store.moments(from, this.side),
            }
          : null,
      (a, b) => mergeShardMoments(a, b, this.layout.batchNorms),
    );
    if (!merged) throw new Error('the sums do not cover the step');
    return merged;
  }

  /** A copy of the current weights and running statistics. */
  weights(): Float32Array {
    return Float32Array.from(this.store.weights(this.side));
  }

  /**
   * The current weights and running statistics, and the optimizer's state by name, as they lie in the store: a
   * copy would add three times the model to the memory that a run needs. The next step writes the other side.
   */
  views(): { readonly weights: Float32Array; readonly optimizer: Record<string, Float32Array> } {
    const { store, side } = this;
    const vectors = store.layout.state.map((name, index) => [name, store.state(side, index)] as const);
    return { weights: store.weights(side), optimizer: Object.fromEntries(vectors) };
  }

  /** SHA-256 over the flat weights followed by the running statistics. */
  weightsSha256(): string {
    const { buffer, byteOffset, byteLength } = this.store.weights(this.side);
    return createHash('sha256')
      .update(new Uint8Array(buffer, byteOffset, byteLength))
      .digest('hex');
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
