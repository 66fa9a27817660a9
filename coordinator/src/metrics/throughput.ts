/** Images per second, and the time that is left; time comes in as an argument. */

/** Steps at the start that do not count: the compiler is still optimising and caches are cold. */
export const warmUpSteps = 3;

export class Throughput {
  private smoothed: number | null = null;
  private samples = 0;
  private seconds = 0;
  private steps = 0;

  /** Takes note of a step. */
  add(samples: number, seconds: number): void {
    this.steps += 1;
    const rate = samples / seconds;
    // Exponential smoothing over about ten steps.
    this.smoothed = this.smoothed === null ? rate : this.smoothed + 0.1 * (rate - this.smoothed);
    // A run shorter than the warm-up reports its last step rather than nothing.
    if (this.steps <= warmUpSteps) {
      this.samples = samples;
      this.seconds = seconds;
      return;
    }
    if (this.steps === warmUpSteps + 1) {
      this.samples = 0;
      this.seconds = 0;
    }
    this.samples += samples;
    this.seconds += seconds;
  }

  /** Smoothed rate, for a progress bar. */
  get current(): number {
    return this.smoothed ?? 0;
  }

  /** Mean rate after the warm-up; null before the first step. */
  get mean(): number | null {
    return this.steps === 0 ? null : this.samples / this.seconds;
  }

  /** Seconds that so many samples will take. */
  secondsFor(samples: number): number {
    return this.current > 0 ? samples / this.current : Number.POSITIVE_INFINITY;
  }
}
