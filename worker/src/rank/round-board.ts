/**
 * A step of a local run lies open to all ranks of the process: its shards and the pieces of its update, who has taken
 * which, and what came of them. A rank helps itself, so nothing lies in the hand of a slow one while another is idle,
 * and no message is waited for; what a rank has done is known even when it is lost afterwards.
 *
 * There is a board for each side of the store, so that the next step can be open before this one is over. What can be
 * taken carries the step's number: a rank that slept while the board was opened again takes nothing by mistake.
 */
import type { Arena } from '@lockstep/shared/tensor/arena.ts';
import type { Side } from './control.ts';
import type { RoundOrder, TakenShard, UpdateUnit } from './round-order.ts';
import type { ShardReport } from './tasks.ts';

/** Words of the head: the step and 1, or 0; its shards and units; how many of both are not done; what is not finite. */
const [stepWord, shardCount, unitCount, remaining, spoilt] = [0, 1, 2, 3, 4];
/** What ranks have to know: epoch, number of the update, samples, seats; the learning rate is a float64. */
const [epochWord, updateWord, seatCount, rateWord] = [5, 6, 8, 10];
const firstEntry = 12;

/** Words of an entry; the last three are float64. */
const [shardOf, ownerOf, samplesEnd, partsOf, correctOf, lossOf, loadOf, computeOf] = [
  0, 1, 2, 3, 4, 6, 8, 10,
];
const wordsOfEntry = 12;

/** Low bits of an owner: 0 nobody, `seat + 1` a rank that is at it, and with `done` one that has done it. */
const tagShift = 12;
const done = 2 ** 11;

/** int32 words of a board. */
export function roundWordCount(shards: number, units: number, samples: number): number {
  return firstEntry + wordsOfEntry * shards + units + samples;
}

/** What belongs to one attempt at a step, in front of an owner. */
function tagOf(step: number): number {
  return (1 + (step % (2 ** 19 - 1))) << tagShift;
}

export class RoundBoard {
  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly numbers: Float64Array<SharedArrayBuffer>;

  /** @param place where a store has its boards */
  constructor(
    arena: Arena,
    place: { readonly round: readonly [number, number]; readonly roundWords: number },
    side: Side,
  ) {
    this.words = arena.int32(place.round[side], place.roundWords);
    this.numbers = arena.float64(place.round[side], Math.floor(place.roundWords / 2));
  }

  /** Main thread: what may be taken from now on. Nobody is at what was open here before. */
  open({ step, epoch, seats, shards, update }: RoundOrder, units: number): void {
    const { words } = this;
    this.close();
    const toUpdate = update === null ? 0 : units;
    words.set([shards.length, toUpdate, shards.length + toUpdate, 0, epoch], shardCount);
    words.set([update?.update ?? 0, update?.samples ?? 0, seats], updateWord);
    this.numbers[rateWord / 2] = update?.learningRate ?? 0;
    const free = tagOf(step);
    const firstUnit = firstEntry + wordsOfEntry * shards.length;
    let end = firstUnit + toUpdate;
    for (const [entry, { shard, samples }] of shards.entries()) {
      words.set(samples, end);
      end += samples.length;
      const at = firstEntry + wordsOfEntry * entry;
      words.set([shard, 0, end, 0], at);
      Atomics.store(words, at + ownerOf, free);
    }
    for (let unit = 0; unit < toUpdate; unit++) Atomics.store(words, firstUnit + unit, free);
    Atomics.store(words, stepWord, step + 1);
  }

  /** Main thread: nothing may be taken. */
  close(): void {
    Atomics.store(this.words, stepWord, 0);
    for (const at of this.places()) Atomics.store(this.words, at, 0);
  }

  /** Whether this very step is open. */
  isOpen(step: number): boolean {
    return Atomics.load(this.words, stepWord) === step + 1;
  }

  /** Rank: the step that is open, and what there is to know of it; null when none is. */
  order(): Omit<RoundOrder, 'shards'> | null {
    const { words } = this;
    const opened = Atomics.load(words, stepWord);
    const [epoch, update, samples, seats] = words.subarray(epochWord, seatCount + 1) as unknown as number[];
    const updates = words[unitCount] !== 0;
    const learningRate = this.numbers[rateWord / 2] as number;
    // Whoever slept before it looked may read the half of another step.
    if (opened === 0 || Atomics.load(words, stepWord) !== opened) return null;
    const order = { step: opened - 1, epoch: epoch as number, seats: seats as number };
    if (!updates) return { ...order, update: null };
    return { ...order, update: { update: update as number, learningRate, samples: samples as number } };
  }

  /** Rank: the next shard that nobody has; null when there is none. */
  takeShard(step: number, seat: number): TakenShard | null {
    const { words } = this;
    const shards = words[shardCount] as number;
    for (let entry = 0; entry < shards; entry++) {
      const at = firstEntry + wordsOfEntry * entry;
      if (!this.take(at + ownerOf, step, seat)) continue;
      const first = firstEntry + wordsOfEntry * shards + (words[unitCount] as number);
      const begin = entry === 0 ? first : (words[at - wordsOfEntry + samplesEnd] as number);
      const samples = [...words.subarray(begin, words[at + samplesEnd])];
      return { entry, shard: words[at + shardOf] as number, samples };
    }
    return null;
  }

  /** Rank: parts of the shard's gradient before `count` lie in its slot. A shard that is computed again takes none back. */
  pass({ entry }: TakenShard, count: number): void {
    const at = firstEntry + wordsOfEntry * entry + partsOf;
    if (Atomics.load(this.words, at) < count) Atomics.store(this.words, at, count);
  }

  /** Whether a part of the gradient has come from all shards. */
  isThere(part: number): boolean {
    const end = firstEntry + wordsOfEntry * (this.words[shardCount] as number);
    // Asked so seldom that the code stays cold, and so often that a list for each call would show.
    for (let at = firstEntry; at < end; at += wordsOfEntry) {
      if (Atomics.load(this.words, at + partsOf) <= part) return false;
    }
    return true;
  }

  /** Rank: a shard is done. @returns whether that was the last thing to do */
  finishShard({ entry }: TakenShard, report: ShardReport): boolean {
    const { words, numbers } = this;
    const at = firstEntry + wordsOfEntry * entry;
    words[at + correctOf] = report.correct;
    numbers[(at + lossOf) / 2] = report.lossSum;
    numbers[(at + loadOf) / 2] = report.loadSeconds;
    numbers[(at + computeOf) / 2] = report.computeSeconds;
    return this.finish(at + ownerOf, Number.isFinite(report.lossSum) ? 0 : 1);
  }

  /** Main thread: what came of the shards that are done, in their order. */
  reports(): ShardReport[] {
    const { words, numbers } = this;
    const [shards, units] = [words[shardCount] as number, words[unitCount] as number];
    let begin = firstEntry + wordsOfEntry * shards + units;
    return this.entries().flatMap((at) => {
      const samples = (words[at + samplesEnd] as number) - begin;
      begin += samples;
      if ((Atomics.load(words, at + ownerOf) & done) === 0) return [];
      const number = (word: number): number => numbers[(at + word) / 2] as number;
      return {
        kind: 'shard',
        shard: words[at + shardOf] as number,
        samples,
        lossSum: number(lossOf),
        correct: words[at + correctOf] as number,
        loadSeconds: number(loadOf),
        computeSeconds: number(computeOf),
      };
    });
  }

  /** Rank: the next unit of the update that nobody has and whose part is there; null when there is none. */
  takeUnit(step: number, seat: number, units: readonly UpdateUnit[]): number | null {
    const unit = this.freeUnit(step, units);
    if (unit === null) return null;
    // Somebody was quicker: there may be another one.
    return this.take(this.unitAt(unit), step, seat) ? unit : this.takeUnit(step, seat, units);
  }

  /** Rank: a unit is done. @returns whether that was the last thing to do */
  finishUnit(unit: number, notFinite: number): boolean {
    return this.finish(this.unitAt(unit), notFinite);
  }

  /** Rank: whether there is something to take. */
  hasWork(step: number, units: readonly UpdateUnit[]): boolean {
    const free = tagOf(step);
    const hasShard = this.entries().some((at) => Atomics.load(this.words, at + ownerOf) === free);
    return hasShard || this.freeUnit(step, units) !== null;
  }

  /** Whether all of a step is done. */
  isOver(step: number): boolean {
    // Another one is not opened here before.
    return !this.isOpen(step) || Atomics.load(this.words, remaining) === 0;
  }

  /** Gradients and losses that are NaN or infinite. */
  get notFinite(): number {
    return Atomics.load(this.words, spoilt);
  }

  /** Main thread: the shard that a lost rank was at; null when it was at none. */
  heldBy(seat: number): number | null {
    const at = this.entries().find((entry) => this.isHeld(entry + ownerOf, seat));
    return at === undefined ? null : (this.words[at + shardOf] as number);
  }

  /** Main thread: what a lost rank was at, shard or unit, is anybody's again. */
  release(seat: number): void {
    for (const at of this.places()) {
      if (this.isHeld(at, seat)) Atomics.sub(this.words, at, seat + 1);
    }
  }

  private isHeld(at: number, seat: number): boolean {
    return Atomics.load(this.words, at) % 2 ** tagShift === seat + 1;
  }

  private take(at: number, step: number, seat: number): boolean {
    const free = tagOf(step);
    return Atomics.compareExchange(this.words, at, free, free + seat + 1) === free;
  }

  private finish(at: number, notFinite: number): boolean {
    if (notFinite > 0) Atomics.add(this.words, spoilt, notFinite);
    Atomics.add(this.words, at, done);
    return Atomics.sub(this.words, remaining, 1) === 1;
  }

  private freeUnit(step: number, units: readonly UpdateUnit[]): number | null {
    const free = tagOf(step);
    const count = this.words[unitCount] as number;
    for (let unit = 0; unit < count; unit++) {
      if (Atomics.load(this.words, this.unitAt(unit)) !== free) continue;
      // Parts come in order.
      return this.isThere((units[unit] as UpdateUnit).part) ? unit : null;
    }
    return null;
  }

  private unitAt(unit: number): number {
    return firstEntry + wordsOfEntry * (this.words[shardCount] as number) + unit;
  }

  private entries(): number[] {
    return Array.from({ length: this.words[shardCount] as number }, (_, i) => firstEntry + wordsOfEntry * i);
  }

  /** Where owners stand. */
  private places(): number[] {
    const units = Array.from({ length: this.words[unitCount] as number }, (_, unit) => this.unitAt(unit));
    return [...this.entries().map((at) => at + ownerOf), ...units];
  }
}
