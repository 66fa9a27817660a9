/** What is to be done in a step of a local run, as its ranks see it. */
import type { GradientRange } from '@lockstep/shared/model/gradient-parts.ts';

/** Floats that a rank updates before it looks for other work: a millisecond of memory traffic. */
const unitFloats = 2 ** 18;

/** A step, for its ranks. */
export interface RoundOrder {
  readonly step: number;
  readonly epoch: number;
  /** Ranks with a lower number take part. */
  readonly seats: number;
  readonly shards: readonly { readonly shard: number; readonly samples: readonly number[] }[];
  /** Null: nothing is updated. */
  readonly update: RoundUpdate | null;
}

/** As in a `SliceTask`. */
export interface RoundUpdate {
  readonly update: number;
  readonly learningRate: number;
  readonly samples: number;
}

/** A shard that a rank has taken. */
export interface TakenShard {
  /** Its place on the board. */
  readonly entry: number;
  readonly shard: number;
  readonly samples: readonly number[];
}

/** A piece of the update, and the part of the gradient that has to be there first. */
export interface UpdateUnit extends GradientRange {
  readonly part: number;
}

/** Pure: parts of the gradient, in the order in which backward finishes them, cut for several ranks. */
export function updateUnits(parts: readonly GradientRange[]): UpdateUnit[] {
  return parts.flatMap(({ from, to }, part) =>
    Array.from({ length: Math.ceil((to - from) / unitFloats) }, (_, i) => ({
      part,
      from: from + i * unitFloats,
      to: Math.min(to, from + (i + 1) * unitFloats),
    })),
  );
}
