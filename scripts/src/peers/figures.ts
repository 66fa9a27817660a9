/** Medians and ratios of what the peers measured, and the targets they are held against. All pure. */
import type { PeerSpec, Role } from './peer-catalogue.ts';

/** One peer after all rounds. */
export interface Samples {
  readonly spec: Pick<PeerSpec, 'engine' | 'title' | 'cores' | 'role' | 'once'>;
  readonly version: string;
  readonly detail: string;
  /** Images per second, round by round. */
  readonly rates: readonly number[];
  readonly peakBytes: number | null;
}

/** The middle value, or the mean of the two middle ones; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/**
 * Median of the ratios round by round, which cancels what slows a whole round down; the ratio of the medians when
 * one of them was not measured in every round.
 */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): number {
  if (ours.length !== theirs.length) return median(ours) / median(theirs);
  return median(ours.map((value, round) => value / (theirs[round] ?? Number.NaN)));
}

/** The fastest peer of a role on so many cores, by its median; null when there is none. */
export function best(samples: readonly Samples[], role: Role, cores: number): Samples | null {
  const candidates = samples.filter(({ spec }) => spec.role === role && spec.cores === cores);
  return candidates.toSorted((a, b) => median(b.rates) - median(a.rates))[0] ?? null;
}

/** How many times faster Lockstep is than a peer on as many cores; null when there is nothing to compare. */
export function lockstepRatio(samples: readonly Samples[], peer: Samples): number | null {
  const ours = best(samples, 'lockstep', peer.spec.cores);
  return ours === null || ours === peer ? null : ratioOf(ours.rates, peer.rates);
}

interface Target {
  readonly title: string;
  readonly ours: readonly [Role, number];
  readonly theirs: readonly [Role, number];
  /** The least ratio, by model; a model without one has no target. */
  readonly least: Readonly<Record<string, number>>;
}

const targets: readonly Target[] = [
  {
    title: 'one thread / PyTorch float32, better layout',
    ours: ['lockstep', 1],
    theirs: ['float32', 1],
    least: { resnet20: 1.6, resnet18: 1.8 },
  },
  {
    title: 'one thread / PyTorch bf16 autocast, better layout',
    ours: ['lockstep', 1],
    theirs: ['bf16', 1],
    least: { resnet20: 1, resnet18: 1 },
  },
  {
    title: 'one thread, 128-bit only / PyTorch float32, better layout',
    ours: ['lockstep-narrow', 1],
    theirs: ['float32', 1],
    least: { resnet20: 0.9, resnet18: 0.9 },
  },
  {
    title: 'two threads / PyTorch float32, best use of two cores',
    ours: ['lockstep', 2],
    theirs: ['float32', 2],
    least: { resnet20: 1.8, resnet18: 1.9 },
  },
  {
    title: 'two threads / one thread',
    ours: ['lockstep', 2],
    theirs: ['lockstep', 1],
    least: { resnet20: 1.92, resnet18: 1.92 },
  },
];

/** One closing line. */
export interface Verdict {
  readonly title: string;
  /** The peer that was the best one; null when none was measured. */
  readonly against: string | null;
  readonly ratio: number | null;
  /** `at least` or `below` this; null when the model has no target. */
  readonly target: number | null;
  readonly bound: 'at least' | 'below';
  /** Null when there is no ratio or no target. */
  readonly met: boolean | null;
}

/** The ratios of issue 4, with whether each is reached. */
export function verdicts(samples: readonly Samples[], model: string): Verdict[] {
  return targets.map(({ title, ours, theirs, least }) => {
    const [mine, other] = [best(samples, ...ours), best(samples, ...theirs)];
    const ratio = mine && other ? ratioOf(mine.rates, other.rates) : null;
    const target = least[model] ?? null;
    const met = ratio === null || target === null ? null : ratio >= target;
    return { title, against: other?.spec.title ?? null, ratio, target, bound: 'at least', met };
  });
}

/** Peak memory with two cores, against the float32 peer that needs the least. */
export function memoryVerdict(samples: readonly Samples[]): Verdict {
  const bytesOf = (role: Role) =>
    samples
      .filter(({ spec, peakBytes }) => spec.role === role && spec.cores === 2 && peakBytes !== null)
      .toSorted((a, b) => (a.peakBytes ?? 0) - (b.peakBytes ?? 0))[0];
  const [ours, theirs] = [bytesOf('lockstep'), bytesOf('float32')];
  const ratio = ours && theirs ? (ours.peakBytes ?? 0) / (theirs.peakBytes ?? Number.NaN) : null;
  return {
    title: 'peak memory, two threads / PyTorch float32',
    against: theirs?.spec.title ?? null,
    ratio,
    target: 1,
    bound: 'below',
    met: ratio === null ? null : ratio < 1,
  };
}

/** A step of bfloat16 on a processor that has none takes a minute: five of them would say what the first one does. */
const farBehind = 20;

/**
 * Whether a peer need not be measured once more. Pure.
 *
 * @param rates its images a second so far
 * @param fastest of all peers
 */
export function isFarBehind(rates: readonly number[], fastest: number): boolean {
  return rates.length > 0 && rates.every((rate) => farBehind * rate < fastest);
}
