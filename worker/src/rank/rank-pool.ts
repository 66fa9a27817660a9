/** All ranks of one process: a piscina pool whose threads are set up through comlink and replaced when they end. */
import type { MessagePort } from 'node:worker_threads';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { Piscina } from 'piscina';
import { Halls, type RankSpace } from './hall.ts';
import type { Profile } from './profile.ts';
import type { RankSetup } from './rank.ts';
import type { Fault, RankApi } from './rank-thread.ts';
import type { RankTask, ReportOf } from './tasks.ts';
import { openPool } from './thread-pool.ts';
import { ThreadApi } from './thread-port.ts';

/** Either a report, or why there is none: a lost rank is expected trouble, not an exception. */
export type Outcome<R> =
  | { readonly ok: true; readonly report: R }
  | { readonly ok: false; readonly reason: string };

/** A setup without the rank's index and place, which the pool gives. */
export interface PoolSetup extends Omit<RankSetup, 'index' | 'hall'> {
  readonly space: RankSpace;
}

export class RankPool {
  readonly size: number;
  private readonly setup: PoolSetup;
  private readonly halls: Halls;
  private readonly pool: Piscina;
  /** By index; null while a thread is being replaced. */
  private readonly apis: (ThreadApi<RankApi> | null)[];
  private failures: unknown[] = [];
  private closing = false;
  private starting: PromiseWithResolvers<void> | null = Promise.withResolvers<void>();

  private constructor(setup: PoolSetup, size: number, tasksPerRank: number) {
    this.size = size;
    this.setup = setup;
    this.halls = new Halls(setup.space, size);
    this.apis = Array.from({ length: size }, () => null);
    const entry = new URL('rank-thread.ts', import.meta.url);
    this.pool = openPool(entry, size, { concurrentTasksPerWorker: tasksPerRank });
    this.pool.on('message', (message: unknown) => this.greet(message));
    this.pool.on('error', (error: unknown) => {
      this.failures.push(error);
      this.starting?.reject(error);
    });
  }

  /**
   * Starts `size` ranks and waits until each is set up.
   *
   * @param tasksPerRank tasks that a rank may have at a time: it begins the next one without asking. When it is lost,
   * so are they all
   * @throws LockstepError RANK_FAILED, or what the set-up threw (ARENA_TOO_LARGE)
   */
  static async start(setup: PoolSetup, size: number, tasksPerRank = 1): Promise<RankPool> {
    const pool = new RankPool(setup, size, tasksPerRank);
    try {
      await pool.starting?.promise;
    } catch (cause) {
      await pool.close();
      if (cause instanceof Error && /arena|memory/i.test(cause.message)) {
        throw new LockstepError(
          'ARENA_TOO_LARGE',
          cause.message,
          'Take fewer threads or a smaller batchSize.',
          {},
          cause,
        );
      }
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new LockstepError(
        'RANK_FAILED',
        `A rank could not start: ${why}`,
        'Try fewer threads.',
        {},
        cause,
      );
    }
    pool.starting = null;
    return pool;
  }

  /** Gives a task to the next free rank. Never rejects. */
  async run<T extends RankTask>(task: T): Promise<Outcome<ReportOf<T>>> {
    // piscina would queue it for threads that never come.
    if (this.closing) return { ok: false, reason: 'the pool is closed' };
    try {
      return { ok: true, report: (await this.pool.run(task)) as ReportOf<T> };
    } catch (thrown) {
      return { ok: false, reason: thrown instanceof Error ? thrown.message : String(thrown) };
    }
  }

  /** Where each rank's time went since the last call. */
  async takeProfiles(): Promise<Profile[]> {
    return Promise.all(this.living().map((api) => api.call((remote) => remote.takeProfile())));
  }

  /** What each rank says of itself. */
  async describe(): Promise<ReturnType<RankApi['describe']>[]> {
    return Promise.all(this.living().map((api) => api.call((remote) => remote.describe())));
  }

  /** For drills: makes a rank fail in its next task. */
  async failNext(index: number, how: Fault): Promise<void> {
    await this.apis[index]?.call((remote) => remote.failNext(how));
  }

  async close(): Promise<void> {
    this.closing = true;
    for (const api of this.living()) api.close();
    await this.pool.destroy();
  }

  private living(): ThreadApi<RankApi>[] {
    return this.apis.filter((api) => api !== null);
  }

  /** A new thread has introduced itself: it takes the first free index and is set up. */
  private greet(message: unknown): void {
    if (!isHello(message) || this.closing) return;
    const api = new ThreadApi<RankApi>(message.port);
    const index = this.apis.indexOf(null);
    if (index < 0) return api.close();
    this.apis[index] = api;
    api.onGone(() => {
      if (this.apis[index] !== api) return;
      this.apis[index] = null;
      this.halls.release(index);
    });
    const { space: _, ...setup } = this.setup;
    api
      .call((remote) => remote.setUp({ ...setup, index, hall: this.halls.seat(index) }))
      .then(() => {
        if (!this.apis.includes(null)) this.starting?.resolve();
      })
      .catch((error: unknown) => {
        if (!this.closing) this.failures.push(error);
        this.starting?.reject(error);
      });
  }
}

function isHello(message: unknown): message is { type: 'rank-hello'; port: MessagePort } {
  return (
    typeof message === 'object' && message !== null && 'type' in message && message.type === 'rank-hello'
  );
}
