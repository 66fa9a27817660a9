/**
 * Batch-norm mode `sync`: the points of a step at which all shards meet. Of L layers the points 0..L-1 are the forward
 * ones, L..2L-1 the backward ones in reverse; `Layout.syncLayers` is the order.
 */
import { type Moments, mergeMoments } from '../reduce/moments.ts';
import type { Layout } from './layout.ts';

/** What a point is about: channels [channel, channel + channels) of all batch-norms. */
export interface PointPlace {
  readonly direction: 'forward' | 'backward';
  readonly layer: string;
  readonly channel: number;
  readonly channels: number;
  /** Pixels of one image: with the samples they give the count behind moments. */
  readonly pixels: number;
}

export function syncPointCount({ syncLayers }: Pick<Layout, 'syncLayers'>): number {
  return 2 * syncLayers.length;
}

/** The place of a point. */
export function syncPointOf({ syncLayers }: Pick<Layout, 'syncLayers'>, point: number): PointPlace {
  const last = 2 * syncLayers.length - 1;
  const direction = point < syncLayers.length ? 'forward' : 'backward';
  const found = syncLayers[direction === 'forward' ? point : last - point];
  if (!found) throw new RangeError(`point ${point} of ${last + 1}`);
  return { direction, ...found };
}

/** Float64 pairs of some shards at one point: (mean, M2) forward, (sum m, sum m*(z - mean)) backward. */
export type PointPart = Moments;

/** The pairs of two neighbouring ranges of shards together. */
export function mergePoint(direction: 'forward' | 'backward', a: PointPart, b: PointPart): PointPart {
  if (direction === 'forward') return mergeMoments(a, b);
  // An empty side holds no numbers at all.
  if (b.count === 0) return a;
  if (a.count === 0) return b;
  const values = a.values.map((x, i) => x + (b.values[i] as number));
  return { count: a.count + b.count, values };
}
