/**
 * The store's control words: how ranks and their process's main thread tell each other, while a task runs, what is
 * there. Ranks sleep on one bell (`Atomics.wait`), the main thread on another (`Atomics.waitAsync`); nobody polls.
 *
 * A shard's words belong to one task at a time: the main thread sets them only while no task of the shard runs.
 */
import { largestPartCount } from '@lockstep/shared/model/gradient-parts.ts';
import { ring, sleepUntil } from './bell.ts';

/** Which of the two copies of the weights. */
export type Side = 0 | 1;

/** Rung by the main thread, in a round by ranks as well. */
const rankBell = 0;
/** Rung by ranks. */
const mainBell = 1;
/** By side: the step whose weights are there, plus 1. */
const weights = 2;
/** Mode `sync`: points of the step whose totals are known. */
const known = 4;
/** 1 asks the ranks to come back as soon as they would have to wait. */
const paused = 5;
/** By side: how often weights were published there. */
const publications = 6;
const perShard = 8;

/** States of a part in an outbox. */
const open = 0;
const taken = 1;
const done = 2;

/** Words per shard: revoked or not, parts passed, points reached, reported or not, when it was begun. */
const wordsOfShard = 5;
/** Words per part of an outbox: its state, and how many of its sums are NaN or infinite. */
const wordsOfPart = 2;

/** int32 words of a store. */
export function controlWordCount(shards: number, outboxes: number): number {
  return perShard + wordsOfShard * shards + wordsOfPart * largestPartCount * outboxes;
}

export class StoreControl {
  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly parts: number;

  constructor(words: Int32Array<SharedArrayBuffer>, shards: number, outboxes: number) {
    if (words.length < controlWordCount(shards, outboxes)) throw new RangeError('too few control words');
    this.words = words;
    this.parts = perShard + wordsOfShard * shards;
  }

  /** Main thread: all weights of a step are on this side. */
  publishWeights(side: Side, step: number): void {
    // First: who sees that they are there also sees that they are new ones.
    Atomics.add(this.words, publications + side, 1);
    Atomics.store(this.words, weights + side, step + 1);
    this.ring(rankBell);
  }

  /** Main thread: the weights on this side are being written, and nobody's. */
  withdrawWeights(side: Side): void {
    Atomics.store(this.words, weights + side, 0);
  }

  /** Rank: whether the weights of a step are there. */
  hasWeights(side: Side, step: number): boolean {
    return Atomics.load(this.words, weights + side) === step + 1;
  }

  /** Rank: changes when weights are published on this side, perhaps those of the same step again. */
  publication(side: Side): number {
    return Atomics.load(this.words, publications + side);
  }

  /** Main thread: the task of this shard should end early. */
  revoke(shard: number): void {
    Atomics.store(this.words, perShard + wordsOfShard * shard, 1);
    this.ring(rankBell);
  }

  isRevoked(shard: number): boolean {
    return Atomics.load(this.words, perShard + wordsOfShard * shard) === 1;
  }

  /** Main thread, before a shard's task is given out: nothing of it is revoked, begun, passed, reached or reported. */
  begin(shard: number): void {
    this.words.fill(0, perShard + wordsOfShard * shard, perShard + wordsOfShard * (shard + 1));
  }

  /** Rank: parts before `count` of the shard's gradient lie in its slot. */
  pass(shard: number, count: number): void {
    Atomics.store(this.words, perShard + wordsOfShard * shard + 1, count);
  }

  passed(shard: number): number {
    return Atomics.load(this.words, perShard + wordsOfShard * shard + 1);
  }

  /** Rank: what the shard adds to the points before `count` lies in the store. A replay takes nothing back. */
  reach(shard: number, count: number): void {
    const word = perShard + wordsOfShard * shard + 2;
    if (Atomics.load(this.words, word) < count) Atomics.store(this.words, word, count);
  }

  reached(shard: number): number {
    return Atomics.load(this.words, perShard + wordsOfShard * shard + 2);
  }

  /** Rank: the shard's turn has come. */
  enter(shard: number): void {
    Atomics.store(this.words, perShard + wordsOfShard * shard + 4, clock());
  }

  /** Milliseconds since a rank began the shard; null when none has. */
  sinceBegun(shard: number): number | null {
    const begun = Atomics.load(this.words, perShard + wordsOfShard * shard + 4);
    return begun === 0 ? null : Math.max(0, clock() - begun);
  }

  /** Rank: what the shard came to stands in the store, and with it all that its last part does not hold. */
  report(shard: number): void {
    Atomics.store(this.words, perShard + wordsOfShard * shard + 3, 1);
  }

  isReported(shard: number): boolean {
    return Atomics.load(this.words, perShard + wordsOfShard * shard + 3) === 1;
  }

  /** Main thread: totals of the points before `count` lie in the store. */
  publishTotals(count: number): void {
    Atomics.store(this.words, known, count);
    this.ring(rankBell);
  }

  get knownTotals(): number {
    return Atomics.load(this.words, known);
  }

  /** Main thread: ranks that wait for totals, or in a round, come back, until `resume`. */
  pause(): void {
    Atomics.store(this.words, paused, 1);
    this.ring(rankBell);
  }

  resume(): void {
    Atomics.store(this.words, paused, 0);
  }

  get isPaused(): boolean {
    return Atomics.load(this.words, paused) === 1;
  }

  /** Main thread, before shards that fill it are given out: no part of the outbox is there. */
  openOutbox(outbox: number): void {
    const from = this.partWord(outbox, 0);
    this.words.fill(open, from, from + wordsOfPart * largestPartCount);
  }

  /** Main thread: a rank was lost, perhaps while it summed; somebody else may sum the part again. */
  reopenTaken(outbox: number): void {
    for (let part = 0; part < largestPartCount; part++) {
      Atomics.compareExchange(this.words, this.partWord(outbox, part), taken, open);
    }
  }

  /** Rank: true for the one that should sum the part. */
  takePart(outbox: number, part: number): boolean {
    return Atomics.compareExchange(this.words, this.partWord(outbox, part), open, taken) === open;
  }

  /** Rank: the part's sum is in the outbox. */
  finishPart(outbox: number, part: number, notFinite: number): void {
    Atomics.store(this.words, this.partWord(outbox, part) + 1, notFinite);
    Atomics.store(this.words, this.partWord(outbox, part), done);
    this.ring(mainBell);
  }

  /** Main thread: NaN and infinite sums of a part that is in the outbox; null when it is not. */
  finished(outbox: number, part: number): number | null {
    const word = this.partWord(outbox, part);
    return Atomics.load(this.words, word) === done ? Atomics.load(this.words, word + 1) : null;
  }

  /**
   * Rank: sleeps until `ready` says so.
   *
   * @param ready looks at words that are set before the bell is rung
   * @returns false when `milliseconds` have passed first
   */
  waitUntil(ready: () => boolean, milliseconds: number): boolean {
    return sleepUntil(this.words, rankBell, ready, milliseconds);
  }

  /** Whatever ranks sleep for, they look whether it is there. @param most that are wanted */
  wakeRanks(most?: number): void {
    ring(this.words, rankBell, most);
  }

  /** Rank: something has changed that the main thread may be waiting for. */
  tell(): void {
    this.ring(mainBell);
  }

  /**
   * Main thread: calls `look` now and whenever ranks have changed something.
   *
   * @returns ends it
   */
  watch(look: () => void): () => void {
    const state = { watching: true };
    const listen = async (): Promise<void> => {
      while (state.watching) {
        const seen = Atomics.load(this.words, mainBell);
        look();
        const next = Atomics.waitAsync(this.words, mainBell, seen);
        if (next.async) await next.value;
      }
    };
    void listen();
    return () => {
      state.watching = false;
      // Lets go of the promise that nobody may ring for any more.
      this.ring(mainBell);
    };
  }

  private ring(bell: number): void {
    ring(this.words, bell);
  }

  private partWord(outbox: number, part: number): number {
    return this.parts + wordsOfPart * (outbox * largestPartCount + part);
  }
}

/** Milliseconds, the same in all threads; never 0. Only differences are of use. */
function clock(): number {
  return 1 + (Date.now() % 2 ** 30);
}
