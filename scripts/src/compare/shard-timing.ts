/** How long the calls of one shard take, and how two versions compare. */
import { median } from '@lockstep/coordinator/plan/program-timing.ts';
import type { Prepared } from './checkout.ts';

/** The name of all calls together. */
export const everything = 'all calls';

/** Milliseconds by kernel and shape. */
export type Timing = ReadonlyMap<string, number>;

/** One row of a comparison. */
export interface Row {
  readonly name: string;
  /** Least milliseconds of a shard, of the first version and of the second. */
  readonly milliseconds: readonly [number, number];
  /** How many times as fast the second version is: the median over all pairs of neighbours in time. */
  readonly ratio: number;
}

/** Runs a shard, forward and backward, with a clock at every call. */
export function timeShard({ program, kernels }: Prepared): Timing {
  const times = new Map<string, number>();
  const begun = performance.now();
  let before = begun;
  for (const { call, shapes } of [...program.forward, ...program.backward]) {
    kernels[call.kernel](...call.values);
    const now = performance.now();
    const name = `${call.kernel} ${shapes}`;
    times.set(name, (times.get(name) ?? 0) + now - before);
    before = now;
  }
  return times.set(everything, before - begun);
}

/**
 * Pure: rows in the order of their cost, everything first.
 *
 * @param pairs of timings that were taken one after the other, the first version's and the second's
 */
export function compareTimings(pairs: readonly (readonly [Timing, Timing])[]): Row[] {
  const names = new Set(pairs.flatMap(([first, second]) => [...first.keys(), ...second.keys()]));
  return [...names]
    .map((name): Row => {
      // A kernel that only one version calls, or calls with other shapes, has no ratio.
      const both = pairs.flatMap(([first, second]) => {
        const [a, b] = [first.get(name), second.get(name)];
        return a === undefined || b === undefined ? [] : [[a, b] as const];
      });
      const least = (version: 0 | 1): number =>
        Math.min(...pairs.map((pair) => pair[version].get(name) ?? Number.POSITIVE_INFINITY));
      const ratio = both.length === 0 ? Number.NaN : median(both.map(([a, b]) => a / b));
      return { name, milliseconds: [least(0), least(1)], ratio };
    })
    .toSorted(
      (a, b) =>
        Math.max(...b.milliseconds.filter(Number.isFinite)) -
        Math.max(...a.milliseconds.filter(Number.isFinite)),
    );
}
