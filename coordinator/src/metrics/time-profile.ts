/** Where the time of all threads goes: by group, by kernel, and by what limits it. Pure. */
import { type Expense, mergeExpenses, type Profile } from '@lockstep/worker/rank/profile.ts';
import type { MemoryRoof, Roofs } from './roofs.ts';

export interface ProfileShare {
  readonly name: string;
  /** Share of all threads' time, 0..1. */
  readonly share: number;
}

/** What keeps a piece of work from being faster; `other`: neither of both is used to a third. */
export type Limit = 'arithmetic' | 'memory traffic' | 'waiting' | 'other';

export interface KernelRow {
  readonly name: string;
  readonly group: string;
  readonly shapes: string;
  /** Of a step, on all threads. */
  readonly calls: number;
  readonly share: number;
  /** Null for what is no kernel. Winograd's are counted as of the direct convolution, so they may pass the roof. */
  readonly gigaflops: number | null;
  /** Bytes that must move at least; null where nobody counts them. */
  readonly gigabytes: number | null;
  readonly limit: Limit;
}

/** The run that was profiled. */
export interface ProfiledRun {
  /** Of all threads together. */
  readonly wall: number;
  readonly steps: number;
  /** Bytes that a rank goes through for a shard: its arena. */
  readonly workingSet: number;
}

export interface TimeProfile {
  readonly roofs: Roofs;
  readonly workingSet: number;
  /** Largest first. */
  readonly limits: readonly ProfileShare[];
  readonly kernels: readonly KernelRow[];
}

/** Below this share of a roof, it is not what limits. */
const third = 1 / 3;

const largestFirst = (a: { readonly share: number }, b: { readonly share: number }): number =>
  b.share - a.share;

/** Sums by name; what is in none of the parts is waiting. */
function sumShares(parts: readonly ProfileShare[]): ProfileShare[] {
  const busy = parts.reduce((sum, { share }) => sum + share, 0);
  const sums = new Map<string, number>();
  for (const { name, share } of [...parts, { name: 'waiting', share: Math.max(0, 1 - busy) }]) {
    sums.set(name, (sums.get(name) ?? 0) + share);
  }
  return [...sums].map(([name, share]) => ({ name, share })).toSorted(largestFirst);
}

/** Sums profiles of all threads by group, to shares of `wall` seconds; what nobody counted is waiting. */
export function profileShares(profiles: readonly Profile[], wall: number): ProfileShare[] {
  return sumShares(profiles.flat().map(({ group, seconds }) => ({ name: group, share: seconds / wall })));
}

/** The roof measured over the amount of memory that is nearest, as a ratio. @param bytes of memory that is gone through */
function roofFor(bytes: number, memory: readonly MemoryRoof[]): number {
  const distance = (roof: MemoryRoof): number => Math.abs(Math.log(roof.bytes / bytes));
  const [nearest] = memory.toSorted((a, b) => distance(a) - distance(b));
  return nearest?.gigabytesPerSecond ?? Number.POSITIVE_INFINITY;
}

/**
 * The roof that a piece of work is nearer to, if it is anywhere near one. That of memory is the one for all that a step goes
 * through: an activation is read again long after it was written, whatever the size of a call.
 */
export function decideLimit(
  { group, seconds, flops, bytes }: Expense,
  roofs: Roofs,
  workingSet: number,
): Limit {
  if (group.startsWith('waiting')) return 'waiting';
  const arithmetic = flops / seconds / 1e9 / roofs.gigaflops;
  const traffic = bytes / seconds / 1e9 / roofFor(workingSet, roofs.memory);
  if (Math.max(arithmetic, traffic) < third) return 'other';
  return arithmetic >= traffic ? 'arithmetic' : 'memory traffic';
}

/** One row for each kernel and shape. */
export function timeProfile(profiles: readonly Profile[], run: ProfiledRun, roofs: Roofs): TimeProfile {
  const kernels = mergeExpenses(profiles.flat()).map((expense) => rowOf(expense, run, roofs));
  return {
    roofs,
    workingSet: run.workingSet,
    limits: sumShares(kernels.map(({ limit, share }) => ({ name: limit, share }))),
    kernels: kernels.toSorted(largestFirst),
  };
}

function rowOf(expense: Expense, { wall, steps, workingSet }: ProfiledRun, roofs: Roofs): KernelRow {
  const { name, group, shapes, calls, seconds, flops, bytes } = expense;
  return {
    name,
    group,
    shapes,
    calls: calls / steps,
    share: seconds / wall,
    gigaflops: shapes === '' ? null : flops / seconds / 1e9,
    gigabytes: bytes === 0 ? null : bytes / seconds / 1e9,
    limit: decideLimit(expense, roofs, workingSet),
  };
}
