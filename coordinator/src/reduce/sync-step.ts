/**
 * Batch-norm mode `sync`: the totals of one step. Parts of any subtrees come in from ranks and nodes; a total is made as
 * soon as some of them cover the tree, in the fixed order, so its bits do not depend on who computed what.
 */
import type { Layout } from '@lockstep/shared/model/layout.ts';
import {
  mergePoint,
  type PointPart,
  syncPointCount,
  syncPointOf,
} from '@lockstep/shared/model/sync-points.ts';
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import { combineKnown } from '@lockstep/shared/reduce/tree.ts';

export interface PointTotal {
  readonly point: number;
  /** Float64 `[channels][2]`: (mean, M2) forward, (sum m, sum m*(z - mean)) backward. */
  readonly values: Float64Array;
}

export class SyncStep {
  private readonly layout: Layout;
  /** Of each shard. */
  private readonly samples: readonly number[];
  /** By point, the pairs of subtrees; a point whose total is made has none. */
  private readonly parts: Map<string, PointPart>[];
  /** All that were made, in order of points: for whoever joins in. */
  readonly totals: PointTotal[] = [];

  constructor(layout: Layout, samples: readonly number[]) {
    this.layout = layout;
    this.samples = samples;
    this.parts = Array.from({ length: syncPointCount(layout) }, () => new Map());
  }

  /**
   * Takes what a subtree adds to a point; a second time is as good as the first.
   *
   * @returns the totals that this completes, in order of points
   */
  add(subtree: Subtree, point: number, values: Float64Array): readonly PointTotal[] {
    const before = this.totals.length;
    if (point >= before)
      this.parts[point]?.set(keyOf(subtree.from, subtree.width), this.partOf(subtree, point, values));
    for (let total = this.totalOf(before); total !== null; total = this.totalOf(this.totals.length)) {
      this.parts[this.totals.length]?.clear();
      this.totals.push({ point: this.totals.length, values: total.values });
    }
    return this.totals.slice(before);
  }

  private partOf({ from, width }: Subtree, point: number, values: Float64Array): PointPart {
    const { pixels } = syncPointOf(this.layout, point);
    const samples = this.samples.slice(from, from + width).reduce((a, b) => a + b, 0);
    return { count: samples * pixels, values };
  }

  private totalOf(point: number): PointPart | null {
    const known = this.parts[point];
    if (!known || known.size === 0) return null;
    const { direction } = syncPointOf(this.layout, point);
    return combineKnown(
      this.samples.length,
      (from, width) => known.get(keyOf(from, width)) ?? null,
      (a, b) => mergePoint(direction, a, b),
    );
  }
}

function keyOf(from: number, width: number): string {
  return `${from}+${width}`;
}
