/** Parts of a vector: which have come, and how to cut one. */
import { bytesPerFloat } from './dtype.ts';
import type { Limits } from './limits.ts';
import type { WireDtype } from './messages.ts';

/** Disjoint runs in order, as one flat list: from, to, from, to. Adjacent runs are one. */
export type Runs = readonly number[];

export const noRuns: Runs = [];

/** The runs with [from, to) added; null when a part of it was there already. */
export function addRun(runs: Runs, from: number, to: number): Runs | null {
  // First run that ends behind `from`: the new one belongs in front of it.
  let low = 0;
  let high = runs.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((runs[2 * middle + 1] as number) <= from) low = middle + 1;
    else high = middle;
  }
  const next = runs[2 * low];
  if (next !== undefined && next < to) return null;
  const joinsLeft = low > 0 && runs[2 * low - 1] === from;
  const joinsRight = next === to;
  const before = runs.slice(0, joinsLeft ? 2 * low - 1 : 2 * low);
  const after = runs.slice(joinsRight ? 2 * low + 1 : 2 * low);
  return [...before, ...(joinsLeft ? [] : [from]), ...(joinsRight ? [] : [to]), ...after];
}

/** Whether the runs are the whole of [0, length). */
export function isWhole(runs: Runs, length: number): boolean {
  return length === 0 ? runs.length === 0 : runs.length === 2 && runs[0] === 0 && runs[1] === length;
}

/** Whether the runs hold the whole of [0, length), and perhaps more. */
export function holdsAll(runs: Runs, length: number): boolean {
  return length === 0 || (runs[0] === 0 && (runs[1] as number) >= length);
}

export interface Part {
  readonly from: number;
  readonly to: number;
}

/** Cuts floats [from, to) of a vector into the parts in which it travels: each at most `partBytes` on the wire. */
export function cutParts(
  from: number,
  to: number,
  dtype: WireDtype,
  limits: Pick<Limits, 'partBytes'>,
): Part[] {
  const size = Math.floor(limits.partBytes / bytesPerFloat[dtype]);
  return Array.from({ length: Math.ceil((to - from) / size) }, (_, i) => ({
    from: from + i * size,
    to: Math.min(to, from + (i + 1) * size),
  }));
}
