/** How fast a member is and what it has done; time is an argument. */

/** Images a second of one rank, before anything was measured. */
const firstGuess = 100;
/**
 * What ranks tell of their work leaves out what every step costs whatever it holds: by the clock whoever has fewer
 * shards seems slower, gets fewer still, and stays there. But a member is not believed to be more than so many times as
 * fast as it was seen to be.
 */
const trust = 2;

/** Share of a new measurement. */
const smoothing = 0.35;

/** A shard counts as computed while everybody worked when it ended no later than this many times the time until then. */
const slack = 1.1;

/**
 * Steps without work after which a member is tried again: what it is thought to be may come from a moment in which its
 * machine was busy with something else. Doubled with every trial that did not lead to more work.
 */
const untried = { first: 16, longest: 1024 } as const;

export class MemberRecord {
  readonly ranks: number;
  shards = 0;
  samples = 0;
  /** Results that came after the shard was counted, or were taken back. */
  late = 0;
  computeSeconds = 0;
  waitSeconds = 0;
  wireSeconds = 0;
  roundTrip: number | null = null;
  private perRank: number | null = null;
  private readonly guess: number | null;
  private startedAt: number | null = null;
  /** Shards of this step, in the order in which they were computed. */
  private readonly delivery: { readonly samples: number; readonly seconds: number }[] = [];
  private doneAt = 0;
  private movedAt = Number.NEGATIVE_INFINITY;
  /** Steps in a row in which it was given nothing; infinite before the first work. */
  private idleSteps = Number.POSITIVE_INFINITY;
  private idleLimit: number = untried.first;

  /** @param guess images a second of all ranks, measured or estimated; null when nobody knows */
  constructor(ranks: number, guess: number | null = null) {
    this.ranks = ranks;
    this.guess = guess;
  }

  /** Images a second of all its ranks while they work. */
  get imagesPerSecond(): number {
    return this.perRank === null ? (this.guess ?? firstGuess * this.ranks) : this.perRank * this.ranks;
  }

  /** Whether its speed is a guess, or so old that it should be measured again. */
  get onTrial(): boolean {
    return this.idleSteps >= this.idleLimit;
  }

  /** Work was given. @param now milliseconds */
  started(now: number): void {
    this.startedAt ??= now;
  }

  /** A shard was delivered. @param seconds that a rank says to have worked on it */
  delivered(samples: number, seconds: number, now: number): void {
    this.delivery.push({ samples, seconds });
    this.shards += 1;
    this.samples += samples;
    this.doneAt = now;
    this.movedAt = now;
  }

  /** It began a shard at `then`. */
  progressed(then: number): void {
    this.movedAt = Math.max(this.movedAt, then);
  }

  /** Since it last began or delivered a shard; infinite before the first one. */
  secondsSinceMove(now: number): number {
    return (now - this.movedAt) / 1000;
  }

  /** Seconds for which its ranks worked in this step; null when they delivered nothing. */
  get span(): number | null {
    const seconds = this.delivery.reduce((sum, shard) => sum + shard.seconds, 0);
    return this.delivery.length === 0 ? null : seconds / this.ranks;
  }

  /**
   * The step is over: what it took becomes the member's speed.
   *
   * @param together seconds for which everybody worked. What a member computes when others have ended says how fast it
   * is with their processor's caches and memory to itself: whoever has more shards would seem faster, and keep them
   */
  stepOver(together = Number.POSITIVE_INFINITY): void {
    const count = this.delivery.length;
    if (this.startedAt !== null && count > 0 && this.doneAt > this.startedAt) {
      // Ranks work side by side, a shard is never split: the last round may leave some of them idle.
      const rounds = Math.ceil(count / this.ranks);
      const seconds = (this.doneAt - this.startedAt) / 1000 / rounds;
      const seen = this.delivery.reduce((sum, { samples }) => sum + samples, 0) / count / seconds;
      const told = this.told(together) ?? seen;
      const rate = Math.min(told, trust * seen);
      this.perRank = this.perRank === null ? rate : this.perRank + smoothing * (rate - this.perRank);
    }
    if (this.startedAt === null) this.idleSteps += 1;
    else {
      this.idleLimit = this.onTrial ? Math.min(2 * this.idleLimit, untried.longest) : untried.first;
      this.idleSteps = 0;
    }
    this.startedAt = null;
    this.delivery.length = 0;
  }

  /** Images a second of one rank by what ranks tell of the shards that ended in time, one at least; null: nothing. */
  private told(together: number): number | null {
    let samples = 0;
    let seconds = 0;
    for (const shard of this.delivery) {
      if (samples > 0 && (seconds + shard.seconds) / this.ranks > slack * together) break;
      samples += shard.samples;
      seconds += shard.seconds;
    }
    return seconds > 0 ? samples / seconds : null;
  }
}

/** A step is over for everybody who was there. */
export function endStep(records: readonly MemberRecord[]): void {
  const spans = records.map(({ span }) => span).filter((span) => span !== null);
  for (const record of records) record.stepOver(Math.min(...spans));
}
