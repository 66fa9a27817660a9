/**
 * A step of a local run lies open to all ranks of the process: its shards, who has taken which, and how far the update
 * has come. A rank helps itself, so nothing lies in the hand of a slow one while another is idle, and no message is
 * waited for between two shards. The samples are written down once, not sent to every rank.
 *
 * The main thread opens a round while no rank is in one.
 */
import type { GradientRange } from '@lockstep/shared/model/gradient-parts.ts';
import type { Arena } from '@lockstep/shared/tensor/arena.ts';

/** Shards of the round. */
const count = 0;
/** The next unit of the update that nobody has taken. */
const nextUnit = 1;
const firstEntry = 2;
/** Words of an entry: shard, who has it, where its samples end. */
const wordsOfEntry = 3;

/** Who has an entry: nobody, rank `seat` at work on it (`seat + 1`), or done by that rank (`-(seat + 1)`). */
const free = 0;

/** Floats that a rank updates before it looks for other work: a millisecond of memory traffic. */
const unitFloats = 2 ** 18;

/** int32 words of a board. */
export function roundWordCount(shards: number, samples: number): number {
  return firstEntry + wordsOfEntry * shards + samples;
}

/** A shard that a rank has taken. */
export interface TakenShard {
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

export class RoundBoard {
  private readonly words: Int32Array<SharedArrayBuffer>;

  /** @param place where a store has its board */
  constructor(arena: Arena, place: { readonly round: number; readonly roundWords: number }) {
    this.words = arena.int32(place.round, place.roundWords);
  }

  /** Main thread: shards that may be taken now, and with them the update. */
  open(shards: readonly { readonly shard: number; readonly samples: readonly number[] }[]): void {
    const { words } = this;
    words[count] = 0;
    words[nextUnit] = 0;
    let end = firstEntry + wordsOfEntry * shards.length;
    for (const [entry, { shard, samples }] of shards.entries()) {
      words.set(samples, end);
      end += samples.length;
      words.set([shard, free, end], firstEntry + wordsOfEntry * entry);
    }
    Atomics.store(words, count, shards.length);
  }

  /** Rank: the next shard that nobody has; null when there is none. */
  takeShard(seat: number): TakenShard | null {
    const { words } = this;
    const entries = Atomics.load(words, count);
    for (let entry = 0; entry < entries; entry++) {
      const at = firstEntry + wordsOfEntry * entry;
      if (Atomics.compareExchange(words, at + 1, free, seat + 1) !== free) continue;
      const begin = entry === 0 ? firstEntry + wordsOfEntry * entries : (words[at - 1] as number);
      return { entry, shard: words[at] as number, samples: [...words.subarray(begin, words[at + 2])] };
    }
    return null;
  }

  /** Rank: a shard is done. */
  finish({ entry }: TakenShard, seat: number): void {
    Atomics.store(this.words, firstEntry + wordsOfEntry * entry + 1, -(seat + 1));
  }

  /** Rank: whether somebody has given a shard back. */
  get hasShard(): boolean {
    return this.entries().some(({ owner }) => owner === free);
  }

  /** All shards of the round, done or not. */
  shards(): number[] {
    return this.entries().map(({ shard }) => shard);
  }

  /** Main thread: what a lost rank had, the one that it was at first. It never told what came of those it had done. */
  heldBy(seat: number): { readonly at: number | null; readonly shards: readonly number[] } {
    const held = this.entries().filter(({ owner }) => Math.abs(owner) === seat + 1);
    const at = held.find(({ owner }) => owner > 0)?.shard ?? null;
    return { at, shards: held.map(({ shard }) => shard) };
  }

  /** Main thread: what a lost rank had is anybody's again. */
  release(seat: number): void {
    for (const { place, owner } of this.entries()) {
      if (Math.abs(owner) === seat + 1) Atomics.store(this.words, place + 1, free);
    }
  }

  /** Rank: the next piece of the update, in order; -1 when all are taken, or the gradient is not there yet. */
  takeUnit(units: readonly UpdateUnit[], isThere: (part: number) => boolean): number {
    for (;;) {
      const unit = Atomics.load(this.words, nextUnit);
      if (unit >= units.length || !isThere((units[unit] as UpdateUnit).part)) return -1;
      if (Atomics.compareExchange(this.words, nextUnit, unit, unit + 1) === unit) return unit;
    }
  }

  /** Pieces of the update that somebody has taken. */
  get unitsTaken(): number {
    return Atomics.load(this.words, nextUnit);
  }

  private entries(): { place: number; shard: number; owner: number }[] {
    const { words } = this;
    return Array.from({ length: Atomics.load(words, count) }, (_, entry) => {
      const place = firstEntry + wordsOfEntry * entry;
      return { place, shard: words[place] as number, owner: Atomics.load(words, place + 1) };
    });
  }
}
