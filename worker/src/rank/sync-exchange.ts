/**
 * Batch-norm mode `sync`, the main thread's side of one process: what its ranks add to a point goes out, what the whole
 * batch has there comes in. The coordinator and a node use it alike; they differ in where the parts go.
 */
import type { Layout } from '@lockstep/shared/model/layout.ts';
import {
  mergePoint,
  type PointPart,
  syncPointCount,
  syncPointOf,
} from '@lockstep/shared/model/sync-points.ts';
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import { combineTree } from '@lockstep/shared/reduce/tree.ts';
import type { Store } from './store.ts';

/** Told what a subtree adds to a point; a subtree's points come in order, each once. */
export type PartListener = (subtree: Subtree, point: number, part: PointPart) => void;

export interface SyncExchange {
  /**
   * A new step, or a new attempt at one: no total is known.
   *
   * @param samples of each shard of the step
   */
  begin(samples: readonly number[]): void;
  /** Before a task with these shards is given out for the first time in a step, or again when it was revoked. */
  admit(shards: Iterable<number>): void;
  /** Tells of each of the subtrees as soon as all its shards have come to a point. @returns ends it */
  watch(subtrees: readonly Subtree[], listener: PartListener): () => void;
  /** The whole batch's pairs at a point, float64 `[channels][2]`; in order of points. The ranks go on. */
  publish(point: number, values: Float64Array): void;
  /** Ranks that would have to wait come back with `finished: false`, so that more shards can be given out. */
  pause(): void;
  resume(): void;
}

export class StoreExchange implements SyncExchange {
  private readonly store: Store;
  private readonly layout: Layout;
  private samples: readonly number[] = [];

  constructor(store: Store, layout: Layout) {
    this.store = store;
    this.layout = layout;
  }

  begin(samples: readonly number[]): void {
    this.samples = samples;
    this.store.control.publishTotals(0);
    this.store.control.resume();
  }

  admit(shards: Iterable<number>): void {
    for (const shard of shards) this.store.control.begin(shard);
  }

  watch(subtrees: readonly Subtree[], listener: PartListener): () => void {
    const { control } = this.store;
    const points = syncPointCount(this.layout);
    const told = subtrees.map(() => 0);
    return control.watch(() => {
      for (const [index, subtree] of subtrees.entries()) {
        let reached = points;
        for (let i = 0; i < subtree.width; i++)
          reached = Math.min(reached, control.reached(subtree.from + i));
        for (let point = told[index] as number; point < reached; point++) {
          told[index] = point + 1;
          listener(subtree, point, this.part(subtree, point));
        }
      }
    });
  }

  publish(point: number, values: Float64Array): void {
    const { control } = this.store;
    if (control.knownTotals !== point) throw new RangeError(`point ${point} after ${control.knownTotals}`);
    const { direction, channel } = syncPointOf(this.layout, point);
    this.store.batchTotals(direction === 'forward' ? 0 : 1).set(values, 2 * channel);
    control.publishTotals(point + 1);
  }

  pause(): void {
    this.store.control.pause();
  }

  resume(): void {
    this.store.control.resume();
  }

  /** A subtree's pairs at a point, merged in the tree. */
  private part({ from, width }: Subtree, point: number): PointPart {
    const { direction, channel, channels, pixels } = syncPointOf(this.layout, point);
    return combineTree<PointPart>(
      width,
      (i) => {
        const count = (this.samples[from + i] ?? 0) * pixels;
        const all = direction === 'forward' ? this.store.moments(from + i) : this.store.sums(from + i);
        const values = new Float64Array(2 * channels);
        if (count > 0) values.set(all.subarray(2 * channel, 2 * (channel + channels)));
        return { count, values };
      },
      (a, b) => mergePoint(direction, a, b),
    );
  }
}
