/**
 * The board of a hall: which weights its ranks have packed, or are packing, who reads them, and who is at which unit of
 * them. A rank that needs other weights than those waits until nobody reads these; then whoever comes helps to pack.
 *
 * A rank that holds weights never waits for one that wants others, so there is always one that goes on. A rank whose
 * thread ends is taken off the board by the main thread.
 */
import { ring, sleepUntil } from './bell.ts';

/** Names weights, and for what they are packed. */
export interface PackedWeights {
  /** Steps committed before; -2 and above. */
  readonly step: number;
  /** How often weights had been published on that side. */
  readonly publication: number;
  readonly side: number;
  /** Whether for training or for evaluation. */
  readonly mode: 'train' | 'evaluate';
}

/** Rung whenever somebody may have waited for something. */
const bell = 0;
/** Counts what was packed; 0: nothing yet. */
const generationWord = 1;
/** `seat + 1` of the rank that waits for others to let go, to have other weights packed. */
const openerWord = 2;
/** What is packed: step + 3, or 0 while that is being changed; publication; side; mode; its units. */
const [stepWord, publicationWord, sideWord, modeWord, unitCount] = [3, 4, 5, 6, 7];
const head = 8;

/** States of a unit beside `seat + 1` of the rank that is at it. */
const free = 0;
const done = -1;

/** Looks around at least so often, in milliseconds; whatever there is to see is rung for. */
const longestSleep = 1000;

/** int32 words of a board. */
export function packingWords(seats: number, units: number): number {
  return head + seats + units;
}

export class PackingBoard {
  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly seats: number;
  private readonly seat: number;

  /** @param seat who looks at it, of so many */
  constructor(words: SharedArrayBuffer, seats: number, seat: number) {
    this.words = new Int32Array(words);
    this.seats = seats;
    this.seat = seat;
  }

  /**
   * Sleeps until these weights are those of the board, and holds them: until `letGo` they stay. They may not be packed
   * yet: see `takeUnit`.
   *
   * @param units that they are packed in
   * @returns whether somebody had to be waited for
   */
  hold(weights: PackedWeights, units: number): boolean {
    if (units > this.words.length - head - this.seats) throw new RangeError(`no room for ${units} units`);
    // Who has opened them may find that somebody else has opened others since, and has rung.
    return this.sleepUntil(
      () => this.tryHold(weights) || (this.open(weights, units) && this.tryHold(weights)),
    );
  }

  /** Holds these weights if they lie there packed. @returns whether they did */
  holdPacked(weights: PackedWeights): boolean {
    if (!this.tryHold(weights)) return false;
    if (this.isPacked()) return true;
    this.letGo();
    return false;
  }

  /** What the rank held may be replaced. */
  letGo(): void {
    Atomics.store(this.words, head + this.seat, 0);
    if (Atomics.load(this.words, openerWord) !== 0) this.ring();
  }

  /** A unit that nobody has packed yet, of the weights that this rank holds; null when there is none. */
  takeUnit(): number | null {
    const first = head + this.seats;
    const count = this.words[unitCount] as number;
    for (let unit = 0; unit < count; unit++) {
      if (Atomics.compareExchange(this.words, first + unit, free, this.seat + 1) === free) return unit;
    }
    return null;
  }

  finishUnit(unit: number): void {
    Atomics.store(this.words, head + this.seats + unit, done);
    if (this.isPacked()) this.ring();
  }

  /** Sleeps until all units are packed, or one is free again, because whoever was at it is lost. */
  awaitPacked(): void {
    this.sleepUntil(() => this.isPacked() || this.hasFreeUnit());
  }

  /**
   * Takes units as long as there are any, and sleeps until the others are packed as well.
   *
   * @returns milliseconds slept
   */
  packAll(pack: (unit: number) => void): number {
    let slept = 0;
    while (!this.isPacked()) {
      for (let unit = this.takeUnit(); unit !== null; unit = this.takeUnit()) {
        pack(unit);
        this.finishUnit(unit);
      }
      if (this.isPacked()) break;
      const begun = performance.now();
      this.awaitPacked();
      slept += performance.now() - begun;
    }
    return slept;
  }

  /** Main thread, or anybody: the thread that sat here has ended. */
  release(): void {
    const { words, seat } = this;
    for (let at = head + this.seats; at < words.length; at++) {
      Atomics.compareExchange(words, at, seat + 1, free);
    }
    Atomics.store(words, head + seat, 0);
    Atomics.compareExchange(words, openerWord, seat + 1, 0);
    this.ring();
  }

  /** Whether all units of what the rank holds are packed. The last ones are taken last, so most looks end at once. */
  isPacked(): boolean {
    const first = head + this.seats;
    for (let at = first + (this.words[unitCount] as number) - 1; at >= first; at--) {
      if (Atomics.load(this.words, at) !== done) return false;
    }
    return true;
  }

  private tryHold(weights: PackedWeights): boolean {
    const { words, seat } = this;
    const generation = Atomics.load(words, generationWord);
    if (Atomics.load(words, openerWord) !== 0 || !this.names(weights)) return false;
    Atomics.store(words, head + seat, generation);
    // Whoever opens others takes the opener's word first and looks for holders then.
    if (Atomics.load(words, openerWord) === 0 && Atomics.load(words, generationWord) === generation)
      return true;
    this.letGo();
    return false;
  }

  /** Has other weights packed from now on, unless somebody else is about to. @returns whether the board has changed */
  private open(weights: PackedWeights, units: number): boolean {
    const { words, seat } = this;
    if (Atomics.compareExchange(words, openerWord, 0, seat + 1) !== 0) return false;
    // Somebody may have been quicker, and have opened the same ones.
    if (!this.names(weights)) {
      this.sleepUntil(() => !this.isHeld());
      // A thread that ends in the middle leaves no weights that anybody would take for packed.
      Atomics.store(words, stepWord, 0);
      // Before there is anything to hold: a generation of 0 would look like nobody.
      Atomics.add(words, generationWord, 1);
      words.set([weights.publication, weights.side, modes.indexOf(weights.mode), units], publicationWord);
      for (let unit = 0; unit < units; unit++) Atomics.store(words, head + this.seats + unit, free);
      Atomics.store(words, stepWord, weights.step + 3);
    }
    Atomics.store(words, openerWord, 0);
    this.ring();
    return true;
  }

  private isHeld(): boolean {
    for (let seat = 0; seat < this.seats; seat++)
      if (Atomics.load(this.words, head + seat) !== 0) return true;
    return false;
  }

  private names({ step, publication, side, mode }: PackedWeights): boolean {
    const { words } = this;
    return (
      Atomics.load(words, stepWord) === step + 3 &&
      words[publicationWord] === publication &&
      words[sideWord] === side &&
      words[modeWord] === modes.indexOf(mode)
    );
  }

  private hasFreeUnit(): boolean {
    const first = head + this.seats;
    const count = this.words[unitCount] as number;
    for (let unit = 0; unit < count; unit++) {
      if (Atomics.load(this.words, first + unit) === free) return true;
    }
    return false;
  }

  /** @returns whether it was not so at once */
  private sleepUntil(ready: () => boolean): boolean {
    let looks = 0;
    const look = (): boolean => {
      looks += 1;
      return ready();
    };
    while (!sleepUntil(this.words, bell, look, longestSleep));
    return looks > 1;
  }

  private ring(): void {
    ring(this.words, bell);
  }
}

const modes: readonly PackedWeights['mode'][] = ['train', 'evaluate'];
