/**
 * Time as this process sees it: while it was stopped (Ctrl-Z, a virtual machine that was frozen) nothing came in, so nobody
 * is late by that. Without it, whoever wakes up finds every shard overdue and has it computed a second time.
 */

/** Milliseconds between two looks at a clock above which this process was asleep: it looks every 100 ms. */
export const longestGap = 500;

export class WakingClock {
  private readonly source: () => number;
  private lookedAt: number;
  /** Milliseconds of sleep so far. */
  private asleep = 0;

  constructor(source: () => number = () => performance.now()) {
    this.source = source;
    this.lookedAt = source();
  }

  /** Milliseconds of `source` less those for which nobody looked, but for the first half second of each such gap. */
  readonly now = (): number => {
    const time = this.source();
    this.asleep += Math.max(0, time - this.lookedAt - longestGap);
    this.lookedAt = time;
    return time - this.asleep;
  };
}
