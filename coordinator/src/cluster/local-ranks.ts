/** The ranks of this process. A free rank takes the next shard, so a fast one takes more. */
import type { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import type {
  EvaluationReport,
  EvaluationTask,
  ReportOf,
  ShardReport,
  ShardTask,
  SliceReport,
  SliceTask,
  SyncTask,
} from '@lockstep/worker/rank/tasks.ts';
import type { LocalSync } from '../reduce/local-sync.ts';
import type { LocalRound } from './local-round.ts';
import { giveOutAgain } from './lost-task.ts';
import type { LostListener, StepOptions, UpdateOf, Workforce } from './workforce.ts';

export class LocalRanks implements Workforce {
  readonly nodes = 1;
  private readonly pool: RankPool;
  private readonly onLost: LostListener;
  /** How the shards of a step are computed, by mode; absent where others decide. */
  private readonly way: { readonly sync?: LocalSync; readonly round?: LocalRound };
  /** Of the step that was computed last, where it has been updated already. */
  private updated: SliceReport[] | null = null;

  constructor(pool: RankPool, onLost: LostListener, way: LocalRanks['way'] = {}) {
    this.pool = pool;
    this.onLost = onLost;
    this.way = way;
  }

  get ranks(): number {
    return this.pool.size;
  }

  async publish(): Promise<void> {
    // The ranks read the store itself.
  }

  async gathered(): Promise<void> {
    // They are here as soon as the pool is.
  }

  async computeShards(
    tasks: readonly ShardTask[],
    { updateOf, ranks = this.ranks }: StepOptions = {},
  ): Promise<ShardReport[]> {
    const { sync, round } = this.way;
    this.updated = null;
    if (sync) return sync.compute(tasks, ranks, (task) => this.untilDone(task));
    if (!round) throw new Error('these ranks are given their shards by somebody else');
    const { shards, slices } = await round.compute(tasks, ranks, updateOf ?? null);
    this.updated = slices;
    return shards;
  }

  async updateSlices(tasks: readonly SliceTask[]): Promise<SliceReport[]> {
    const { updated } = this;
    this.updated = null;
    return updated ?? Promise.all(tasks.map((task) => this.untilDone(task)));
  }

  foresee(tasks: readonly ShardTask[], updateOf: UpdateOf): boolean {
    return this.way.round?.foresee(tasks, updateOf) ?? false;
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
  async untilDone<T extends SyncTask | SliceTask | EvaluationTask>(task: T): Promise<ReportOf<T>> {
    for (let attempts = 1; ; attempts++) {
      const outcome = await this.pool.run(task);
      if (outcome.ok) return outcome.report;
      giveOutAgain({ task: task.kind, shard: null, attempts, why: outcome.reason }, this.onLost);
    }
  }
}
