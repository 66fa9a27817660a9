/**
 * What the cores give threads that share nothing: no program gains more from them at that moment. Two cores may be one
 * core's two hyperthreads, have a neighbour on the same machine, or run slower when both are at work.
 */
import type { Piscina } from 'piscina';
import type { CoreThreadData } from './core-thread.ts';
import { openPool } from './thread-pool.ts';

/** Milliseconds for which a thread runs when it starts: its code is compiled meanwhile. */
const warmUp = 60;

export class CoreTrial {
  private readonly pool: Piscina;

  private constructor(data: CoreThreadData, threads: number) {
    this.pool = openPool(new URL('core-thread.ts', import.meta.url), threads, { workerData: data });
  }

  /** @param threads as many as will ever compute at a time */
  static async start({ build, module }: CoreThreadData, threads: number): Promise<CoreTrial> {
    const trial = new CoreTrial({ build, module }, threads);
    await trial.rate(threads, warmUp);
    return trial;
  }

  /** Operations a second of so many threads together, all at work for so many milliseconds. */
  async rate(threads: number, milliseconds: number): Promise<number> {
    const rates = await Promise.all(
      Array.from({ length: threads }, () => this.pool.run(milliseconds) as Promise<number>),
    );
    return rates.reduce((sum, rate) => sum + rate, 0);
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }
}
