/** The schedule of faults: a pure function of the seed. */
import { philox, type Quad, toIndex, toUnit } from '@lockstep/shared/base/random.ts';
import type { Direction } from '../helpers/tcp-proxy.ts';

export const faultKinds = [
  /** SIGKILL; another node takes its place later. */
  'kill',
  /** SIGSTOP, later SIGCONT. */
  'pause',
  /** SIGINT: hands its shards back; another node takes its place later. */
  'leave',
  /** One more node, for a while. */
  'join',
  /** Nothing passes, in one direction or in both, as over a link that is down; later all of it comes. */
  'cut',
  'cut-one-way',
  'slow',
  'late',
  /** Both ends get a TCP reset. */
  'reset',
  /** The stream ends in the middle of a frame. */
  'truncate',
  /** A bit of the stream is inverted. */
  'flip',
  /** Bytes of the stream are left out. */
  'drop',
  /** SIGKILL, later `--resume`. */
  'coordinator-kill',
  'coordinator-pause',
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  /** From 1. */
  readonly number: number;
  readonly kind: FaultKind;
  /** Happens when so many steps were committed since the fault before... */
  readonly gap: number;
  /** ... and so many milliseconds have passed: anywhere inside the next step. */
  readonly offset: number;
  /** Which node; for `join` a place that is empty otherwise. */
  readonly slot: number;
  /** How long it lasts, or how long the place stays empty. */
  readonly milliseconds: number;
  readonly direction: Direction;
  /** slow: bytes a second. late: milliseconds. drop: bytes. */
  readonly amount: number;
  /** Bytes of the stream that still pass before it is damaged. */
  readonly after: number;
  readonly bit: number;
}

export interface PlanShape {
  /** Nodes that are there from the start. */
  readonly nodes: number;
  /** Places for `join`. */
  readonly guests: number;
  /** No fault before this step: there is no checkpoint to resume from. */
  readonly firstStep: number;
}

/** Distinguishes these numbers from those of a recipe with the same seed. */
const chaosStream = 0x0c4a05;

/** Steps between two faults, at most. */
const widestGap = 4;

/** Four words for draw `draw` of fault `index`. */
function words(seed: number, index: number, draw: number): Quad {
  return philox(index, draw, 0, chaosStream, seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0);
}

function between(word: number, low: number, high: number): number {
  return Math.round(low + toUnit(word) * (high - low));
}

/** Milliseconds, shortest and longest: some within the heartbeat limit of 2 s, some beyond it. */
const durations: Readonly<Record<FaultKind, readonly [number, number]>> = {
  kill: [50, 1500],
  pause: [100, 3500],
  leave: [50, 1000],
  join: [2000, 5000],
  cut: [100, 3500],
  'cut-one-way': [100, 3500],
  slow: [500, 3000],
  late: [500, 3000],
  reset: [0, 0],
  truncate: [0, 0],
  flip: [0, 0],
  drop: [0, 0],
  'coordinator-kill': [50, 1500],
  'coordinator-pause': [100, 3000],
};

/** The kind of fault `index`: each kind once in a random order, again and again. */
function kindOf(seed: number, index: number): FaultKind {
  const count = faultKinds.length;
  const round = Math.floor(index / count);
  const order = faultKinds
    .map((kind, i) => ({ kind, key: words(seed, round * count + i, 1)[0] }))
    .toSorted((a, b) => a.key - b.key);
  return (order[index % count] as { kind: FaultKind }).kind;
}

/** Plans `count` faults; a longer plan of the same seed begins with the shorter one. */
export function planFaults(seed: number, count: number, { nodes, guests, firstStep }: PlanShape): Fault[] {
  return Array.from({ length: count }, (_, index): Fault => {
    const kind = kindOf(seed, index);
    const [gap, offset, slot, length] = words(seed, index, 2);
    const [direction, amount, after, bit] = words(seed, index, 3);
    const [shortest, longest] = durations[kind];
    const amounts: Partial<Record<FaultKind, number>> = {
      slow: between(amount, 50_000, 2_000_000),
      late: between(amount, 5, 150),
      drop: between(amount, 1, 5000),
    };
    return {
      number: index + 1,
      kind,
      gap: index === 0 ? firstStep : 1 + toIndex(gap, widestGap),
      offset: between(offset, 0, 120),
      slot: kind === 'join' ? nodes + toIndex(slot, guests) : toIndex(slot, nodes),
      milliseconds: between(length, shortest, longest),
      direction: direction % 2 === 0 ? 'up' : 'down',
      amount: amounts[kind] ?? 0,
      // Within the handshake, within one frame, or far behind.
      after: Math.floor(10 ** (toUnit(after) * 5.5)),
      bit: bit % 8,
    };
  });
}

/** One line for people. */
export function faultInWords({ kind, slot, milliseconds, direction, amount, after, bit }: Fault): string {
  const whom = kind.startsWith('coordinator') ? 'coordinator' : `node ${slot}`;
  const time = milliseconds > 0 ? ` for ${milliseconds} ms` : '';
  const detail: Partial<Record<FaultKind, string>> = {
    'cut-one-way': ` ${direction}`,
    slow: ` ${amount} bytes/s`,
    late: ` by ${amount} ms`,
    truncate: ` ${direction}, ${after} bytes on`,
    flip: ` ${direction}, bit ${bit}, ${after} bytes on`,
    drop: ` ${direction}, ${amount} bytes, ${after} bytes on`,
  };
  return `${kind} ${whom}${detail[kind] ?? ''}${time}`;
}
