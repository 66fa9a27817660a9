/** Who computes what: pure decisions, each with its reason. */

/** How often a shard may be lost before the run gives up: a fault that follows the shard is no accident. */
export const attemptLimit = 4;

export interface RetryDecision {
  readonly again: boolean;
  readonly reason: string;
}

/** A rank was lost with a task: give the task to another one? */
export function decideRetry(what: string, attempts: number, why: string): RetryDecision {
  return attempts < attemptLimit
    ? { again: true, reason: `${what} was lost (${why}); another rank computes it` }
    : { again: false, reason: `${what} was lost ${attempts} times, at last: ${why}` };
}

/** One contiguous part of the flat gradient. */
export interface Slice {
  readonly from: number;
  readonly to: number;
}

/**
 * Cuts a vector into slices for all ranks: about equal, ends on multiples of `grain`, none empty. Slices do
 * not touch the result: every element is summed and updated alone.
 */
export function cutSlices(length: number, ranks: number, grain: number): Slice[] {
  const grains = Math.ceil(length / grain);
  const count = Math.max(1, Math.min(ranks, grains));
  return Array.from({ length: count }, (_, i) => ({
    from: Math.floor((grains * i) / count) * grain,
    to: Math.min(length, Math.floor((grains * (i + 1)) / count) * grain),
  }));
}

/** What of a range none of the others holds, in order. @param others disjoint, in any order */
export function uncovered({ from, to }: Slice, others: readonly Slice[]): Slice[] {
  const left: Slice[] = [];
  let at = from;
  for (const other of others.toSorted((a, b) => a.from - b.from)) {
    if (other.to <= at || other.from >= to) continue;
    if (other.from > at) left.push({ from: at, to: other.from });
    at = Math.max(at, other.to);
  }
  if (at < to) left.push({ from: at, to });
  return left;
}
