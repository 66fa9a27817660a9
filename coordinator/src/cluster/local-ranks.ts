/** The ranks of this process. A free rank takes the next task, so a fast one takes more; it has one more in hand. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { PairStates } from '@lockstep/worker/rank/pair-states.ts';
import type { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import { mayGive } from '@lockstep/worker/rank/tasks-in-hand.ts';
import type {
  EvaluationReport,
  EvaluationTask,
  RankTask,
  ReportOf,
  ShardReport,
  ShardTask,
  SliceReport,
  SliceTask,
} from '@lockstep/worker/rank/tasks.ts';
import { decideRetry } from '../plan/assignment.ts';
import type { LocalSync } from '../reduce/local-sync.ts';
import type { LostListener, Workforce } from './workforce.ts';

export class LocalRanks implements Workforce {
  readonly nodes = 1;
  private readonly pool: RankPool;
  private readonly onLost: LostListener;
  /** Where the shards of a step meet in batch-norm mode `sync`, else null. */
  private readonly sync: LocalSync | null;
  /** Where two shards share a slot, else null. */
  private readonly pairs: PairStates | null;

  constructor(
    pool: RankPool,
    onLost: LostListener,
    { sync = null, pairs = null }: { sync?: LocalSync | null; pairs?: PairStates | null } = {},
  ) {
    this.pool = pool;
    this.onLost = onLost;
    this.sync = sync;
    this.pairs = pairs;
  }

  get ranks(): number {
    return this.pool.size;
  }

  publish(): void {
    // The ranks read the store itself.
  }

  async gathered(): Promise<void> {
    // They are here as soon as the pool is.
  }

  async computeShards(tasks: readonly ShardTask[]): Promise<ShardReport[]> {
    if (this.sync) return this.sync.compute(tasks, this.ranks, (task) => this.untilDone(task));
    this.pairs?.begin(tasks.map(({ shard }) => shard));
    const computed = await Promise.allSettled(this.inTurn(tasks));
    // Not before all have ended: one that goes on would write into a slot that is somebody else's by then.
    return computed.map((shard) => {
      if (shard.status === 'rejected') throw shard.reason;
      return shard.value;
    });
  }

  updateSlices(tasks: readonly SliceTask[]): Promise<SliceReport[]> {
    return Promise.all(tasks.map((task) => this.untilDone(task)));
  }

  evaluate(tasks: readonly EvaluationTask[], onDone: () => void): Promise<EvaluationReport[]> {
    return Promise.all(
      tasks.map(async (task) => {
        const report = await this.untilDone(task);
        onDone();
        return report;
      }),
    );
  }

  close(): Promise<void> {
    return this.pool.close();
  }

  /** Gives a task out until somebody has done it. @throws LockstepError RANK_FAILED */
  async untilDone<T extends RankTask>(task: T): Promise<ReportOf<T>> {
    for (let attempts = 1; ; attempts++) {
      const outcome = await this.pool.run(task);
      if (outcome.ok) return outcome.report;
      const shard = task.kind === 'shard' ? task.shard : null;
      if (shard !== null) this.pairs?.recover(shard);
      const what = shard === null ? `a ${task.kind}` : `shard ${shard}`;
      const { again, reason } = decideRetry(what, attempts, outcome.reason);
      if (!again) {
        throw new LockstepError(
          'RANK_FAILED',
          `${reason}.`,
          'Resume from the last checkpoint, with fewer threads if memory is short.',
          { task: task.kind, shard, attempts },
        );
      }
      this.onLost(task.kind, shard, reason);
    }
  }

  /** Gives shards out in order, as ranks can take them. @returns a promise for each */
  private inTurn(tasks: readonly ShardTask[]): Promise<ShardReport>[] {
    const waiting = tasks.map((task) => ({ task, report: Promise.withResolvers<ShardReport>() }));
    const reports = waiting.map(({ report }) => report.promise);
    let given = 0;
    const give = async (task: ShardTask): Promise<ShardReport> => {
      given += 1;
      try {
        return await this.untilDone(task);
      } finally {
        given -= 1;
        pump();
      }
    };
    const pump = (): void => {
      while (mayGive(waiting.length, given, this.ranks)) {
        const next = waiting.shift();
        if (next === undefined) return;
        next.report.resolve(give(next.task));
      }
    };
    pump();
    return reports;
  }
}
