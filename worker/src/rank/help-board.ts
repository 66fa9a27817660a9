/**
 * The board of a hall on which a rank that has a shard, the leader, opens one run of it after the other to ranks that have none,
 * the helpers. Every seat has a desk for what it leads. A unit of a run is taken by one rank, and what it waits for is
 * always under way, because units are taken in order.
 *
 * A thread may end anywhere. Then the run it was at is broken: its units are not to be trusted, and the shard is computed anew.
 */
import { availableParallelism } from 'node:os';
import { largestCounterCount, largestUnitCount, type Turn } from '@lockstep/shared/model/run-sharing.ts';

/** Words of a desk: what is open and the next unit; units that are finished; which run, and of a shard of how many images. */
const [nextWord, finishedWord, runWord, imagesWord, brokenWord, firstCounter] = [0, 1, 2, 3, 4, 5];
const wordsOfDesk = firstCounter + largestCounterCount;

/** States of a seat beside `desk + 1` of whom it helps. */
const busy = 0;
const idle = -1;

/** Low bits of `nextWord`, of which the last number means closed; above them is one that tells an opening from the next. */
const unitBits = Math.ceil(Math.log2(largestUnitCount + 1));
const closed = 2 ** unitBits - 1;

/** Milliseconds after which a sleeper looks again: who is lost rings no bell. */
const longestSleep = 1;
/**
 * Milliseconds that a rank looks at what it waits for before it sleeps: several calls of a kernel, and to be woken takes half of one.
 * With more ranks than cores somebody else could use the core.
 */
const patience = { withACore: 0.3, crowded: 0.02 };
/** Looks at a word for each look at the clock. */
const looksAtATime = 100;

/** int32 words of a board. */
export function helpWords(seats: number): number {
  return seats * (1 + wordsOfDesk);
}

/** A run that is open at somebody's desk. */
export interface OpenRun {
  readonly desk: number;
  /** Tells this opening from others. */
  readonly opening: number;
  /** Index among the program's shared runs. */
  readonly run: number;
  /** Images of the shard. */
  readonly images: number;
}

export class HelpBoard {
  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly seats: number;
  private readonly seat: number;
  private readonly cores: number;
  private readonly patience: number;

  /** @param seat who looks at it, of so many */
  constructor(words: SharedArrayBuffer, seats: number, seat: number, cores = availableParallelism()) {
    this.words = new Int32Array(words);
    this.seats = seats;
    this.seat = seat;
    this.cores = cores;
    this.patience = seats > cores ? patience.crowded : patience.withACore;
  }

  /** Ranks that have nothing to do, or help this one already, as many of them as there are cores that nobody uses. */
  wanted(): number {
    let free = 0;
    for (let seat = 0; seat < this.seats; seat++) {
      const state = Atomics.load(this.words, seat);
      if (state === idle || state === this.seat + 1) free += 1;
    }
    return Math.min(free, this.cores - (this.seats - free));
  }

  /** Leader: opens a run. Nothing of an earlier one can be taken any more. */
  open(run: number, images: number): OpenRun {
    const { words, seat: desk } = this;
    const opening = this.nextOpening(desk);
    const at = this.deskWord(desk);
    // Closed while it changes: see `look`.
    Atomics.store(words, at + nextWord, opening + closed);
    words.fill(0, at + firstCounter, at + wordsOfDesk);
    Atomics.store(words, at + finishedWord, 0);
    Atomics.store(words, at + runWord, run);
    Atomics.store(words, at + imagesWord, images);
    Atomics.store(words, at + nextWord, opening);
    return { desk, opening, run, images };
  }

  /** Helper: a run of somebody else's that has units left, when there is a core for one more rank. */
  look(): OpenRun | null {
    if (this.wanted() < 1) return null;
    for (let i = 1; i < this.seats; i++) {
      const desk = (this.seat + i) % this.seats;
      const at = this.deskWord(desk);
      const next = Atomics.load(this.words, at + nextWord);
      const unit = next & closed;
      if (next === 0 || unit === closed || this.isBroken(desk)) continue;
      const run = Atomics.load(this.words, at + runWord);
      const images = Atomics.load(this.words, at + imagesWord);
      // Otherwise these may be another opening's.
      const opening = next - unit;
      if (Atomics.load(this.words, at + nextWord) >> unitBits === opening >> unitBits)
        return { desk, opening, run, images };
    }
    return null;
  }

  /** The next unit of a run, of so many; null when there is none, or the run is over. */
  takeUnit({ desk, opening }: OpenRun, units: number): number | null {
    const at = this.deskWord(desk) + nextWord;
    for (;;) {
      const next = Atomics.load(this.words, at);
      const unit = next - opening;
      if (unit < 0 || unit >= units) return null;
      // The last one closes the run, for whoever looks.
      const then = unit + 1 === units ? opening + closed : next + 1;
      if (Atomics.compareExchange(this.words, at, next, then) === next) return unit;
    }
  }

  /**
   * Takes units as long as there are any.
   *
   * @param work does one; false: the run is broken
   * @returns false when it is
   */
  workAll(open: OpenRun, units: number, work: (unit: number) => boolean): boolean {
    for (;;) {
      const unit = this.takeUnit(open, units);
      if (unit === null) return true;
      if (!work(unit)) return false;
      this.finishUnit(open);
    }
  }

  finishUnit({ desk }: OpenRun): void {
    this.add(this.deskWord(desk) + finishedWord);
  }

  /** Waits until something has happened so often. @returns false when it never will: the run is broken */
  awaitTurn({ desk }: OpenRun, { counter, count }: Turn): boolean {
    return this.awaitCount(desk, this.deskWord(desk) + firstCounter + counter, count);
  }

  /** Something has happened once more. */
  count({ desk }: OpenRun, counter: number): void {
    this.add(this.deskWord(desk) + firstCounter + counter);
  }

  /** Leader: waits until so many units are finished. @returns false when the run is broken */
  awaitFinished({ desk }: OpenRun, units: number): boolean {
    return this.awaitCount(desk, this.deskWord(desk) + finishedWord, units);
  }

  /** Waits for a run to be opened, which whoever leads one does in a moment. @returns whether it is, or `isOver` */
  awaitRun(isOver: () => boolean): boolean {
    const end = performance.now() + this.patience;
    while (performance.now() < end) if (this.look() !== null || isOver()) return true;
    return false;
  }

  /** This rank has nothing to do. */
  volunteer(): void {
    Atomics.store(this.words, this.seat, idle);
  }

  /** Helper, before it takes the first unit. */
  enter({ desk }: OpenRun): void {
    Atomics.store(this.words, this.seat, desk + 1);
  }

  /** Helper: it has left everybody's desk, and has something else to do. */
  withdraw(): void {
    if (Atomics.load(this.words, this.seat) !== busy) Atomics.store(this.words, this.seat, busy);
  }

  /** Leader: clears its desk when a run has broken, or whoever sat here before is lost. Waits for helpers that are still at it. */
  clear(): void {
    const { words, seat } = this;
    const at = this.deskWord(seat);
    Atomics.store(words, at + nextWord, this.nextOpening(seat) + closed);
    Atomics.store(words, at + brokenWord, 1);
    for (let other = 0; other < this.seats; other++) {
      while (Atomics.load(words, other) === seat + 1) Atomics.wait(words, other, seat + 1, longestSleep);
    }
    Atomics.store(words, at + brokenWord, 0);
  }

  /** Main thread: the thread that sat here has ended. What it led is broken, and what it helped with. */
  release(): void {
    const { words, seat } = this;
    this.break(seat);
    const state = Atomics.load(words, seat);
    if (state > busy) this.break(state - 1);
    Atomics.store(words, seat, busy);
  }

  private isBroken(desk: number): boolean {
    return Atomics.load(this.words, this.deskWord(desk) + brokenWord) !== 0;
  }

  private break(desk: number): void {
    Atomics.store(this.words, this.deskWord(desk) + brokenWord, 1);
  }

  /** @returns false when the desk's run is broken */
  private awaitCount(desk: number, word: number, count: number): boolean {
    const { words } = this;
    let sleepsFrom = Number.POSITIVE_INFINITY;
    for (let look = 0; ; look++) {
      const found = Atomics.load(words, word);
      if (found >= count) return true;
      if (this.isBroken(desk)) return false;
      if (look % looksAtATime !== looksAtATime - 1) continue;
      const now = performance.now();
      if (look < looksAtATime) sleepsFrom = now + this.patience;
      if (now >= sleepsFrom) Atomics.wait(words, word, found, longestSleep);
    }
  }

  private add(word: number): void {
    Atomics.add(this.words, word, 1);
    Atomics.notify(this.words, word);
  }

  /** Never 0, and another one for some millions of times. */
  private nextOpening(desk: number): number {
    const last = Atomics.load(this.words, this.deskWord(desk) + nextWord) >> unitBits;
    return ((last % (2 ** (31 - unitBits) - 1)) + 1) << unitBits;
  }

  private deskWord(desk: number): number {
    return this.seats + desk * wordsOfDesk;
  }
}
