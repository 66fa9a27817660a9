/**
 * How several ranks make the calls of one shard's run together. Bits stay what they are: every call adds its terms in the
 * order in which one rank alone would, and a call that adds to a sum of several ranges waits for the range before.
 *
 * A run of several ranges is shared by ranges; each rank keeps what belongs to one range, and scratch, in its own memory. In a run
 * of one range, calls that treat every image alone are made for half of the images each, and sums are whole
 * calls beside the others.
 */
import type { Step } from './program.ts';

/** Calls that a few images at a time go through; its identity tells it from others. */
export interface Run {
  /** Images of the longest range. */
  readonly together: number;
  readonly ranges: number;
}

/** Where a call stands in a run. */
export interface RunPlace {
  readonly run: Run;
  /** Its number among those that the run makes for every range, in the order in which they depend on each other. */
  readonly call: number;
  readonly range: number;
  /** It adds to a sum, which nothing else in the run reads. */
  readonly adds: boolean;
  /** Made for part of the images of a run of one range, by those that share it. */
  readonly isStrip: boolean;
}

/** A call of a run with everything fixed. */
export interface RecordedCall {
  readonly step: Step;
  readonly place: RunPlace;
  /** Positions of those values that are addresses of what the shard's rank has for itself. */
  readonly moved: readonly number[];
}

/** Something that has to have happened so often. */
export interface Turn {
  readonly counter: number;
  readonly count: number;
}

/** A call that one of several ranks makes. */
export interface SharedCall extends Pick<RecordedCall, 'step' | 'moved'> {
  /** What has to come first; null: nothing but the unit's calls before. */
  readonly after: Turn | null;
  /** The counter that is one higher afterwards. */
  readonly counts: number | null;
}

/** Calls that one rank makes, one after the other. */
export type SharedUnit = readonly SharedCall[];

export interface SharedRun {
  /** Calls [from, to) of forward ++ backward. */
  readonly from: number;
  readonly to: number;
  /** To be begun in this order: none waits for a later one. */
  readonly units: readonly SharedUnit[];
  readonly counters: number;
}

/** In how many strips the images of a run of one range are cut: filters are gone through again for each. */
export const stripsOfRange = 2;

/** Most counters and units of a run; one that needs more is not shared. */
export const largestCounterCount = 32;
export const largestUnitCount = 511;

/**
 * Pure.
 *
 * @param calls of one run, in the order in which one rank makes them
 * @param strips of a run of one range; none where a single image cannot be cut
 * @param from number of the first call in forward ++ backward
 * @returns null when there is nothing to share
 */
export function shareRun(
  calls: readonly RecordedCall[],
  strips: readonly RecordedCall[],
  from: number,
): SharedRun | null {
  const [first] = calls;
  if (first === undefined) return null;
  const hasRanges = first.place.run.ranges > 1;
  if (!hasRanges && strips.length === 0) return null;
  const { units, counters } = hasRanges ? byRanges(calls) : byStrips(calls, strips);
  if (units.length < 2 || units.length > largestUnitCount || counters > largestCounterCount) return null;
  return { from, to: from + calls.length, units, counters };
}

type Plan = Pick<SharedRun, 'units' | 'counters'>;

/** A unit for each range; a sum goes on when the range before has added to it. */
function byRanges(calls: readonly RecordedCall[]): Plan {
  const sums = [...new Set(calls.flatMap(({ place }) => (place.adds ? [place.call] : [])))];
  const ranges = Map.groupBy(calls, ({ place }) => place.range);
  const units = [...ranges].map(([range, own]) =>
    own.map(({ step, moved, place }): SharedCall => {
      if (!place.adds) return { step, moved, after: null, counts: null };
      const counter = sums.indexOf(place.call);
      return { step, moved, after: { counter, count: range }, counts: counter };
    }),
  );
  return { units, counters: sums.length };
}

/** Calls between two sums form a phase, which has a unit for each strip; phases and sums wait for the phase before. */
function byStrips(calls: readonly RecordedCall[], strips: readonly RecordedCall[]): Plan {
  const inOrder = calls.toSorted((a, b) => a.place.call - b.place.call);
  const units: SharedUnit[] = [];
  let counters = 0;
  let before: Turn | null = null;
  let phase: number[] = [];
  const endPhase = (): void => {
    if (phase.length === 0) return;
    const ofPhase = Map.groupBy(
      strips.filter(({ place }) => phase.includes(place.call)),
      ({ place }) => place.range,
    );
    for (const own of ofPhase.values()) {
      units.push(
        own.map(({ step, moved }, at) => ({
          step,
          moved,
          after: at === 0 ? before : null,
          counts: at === own.length - 1 ? counters : null,
        })),
      );
    }
    before = { counter: counters, count: ofPhase.size };
    counters += 1;
    phase = [];
  };
  for (const { step, moved, place } of inOrder) {
    if (place.adds) {
      endPhase();
      units.push([{ step, moved, after: before, counts: null }]);
    } else phase.push(place.call);
  }
  endPhase();
  return { units, counters };
}
