/** Who computes: the run-loop sees one interface, whether ranks are threads here or nodes elsewhere. */
import type { GradientRange } from '@lockstep/shared/model/gradient-parts.ts';
import type { Side } from '@lockstep/worker/rank/store.ts';
import type {
  Cover,
  EvaluationReport,
  EvaluationTask,
  ShardReport,
  ShardTask,
  SliceReport,
  SliceTask,
} from '@lockstep/worker/rank/tasks.ts';

/** Called when a rank is lost with a task, and the task goes to another one. */
export type LostListener = (task: string, shard: number | null, reason: string) => void;

/**
 * The task that sums a range of the gradient over the covers and applies the optimizer to it. Null: every shard alone;
 * every rank gets a slice, so a list of all shards in each would grow with ranks times shards.
 */
export type UpdateOf = (range: GradientRange, covers: readonly Cover[] | null) => SliceTask;

export interface StepOptions {
  /** For ranges that have come from all shards before the last shard is in; absent: nothing is updated early. */
  readonly updateOf?: UpdateOf;
  /** At most so many ranks of this process compute; absent: all. */
  readonly ranks?: number;
  /** Raised: do not wait for somebody to come. */
  readonly signal?: AbortSignal;
}

export interface Workforce {
  /** Ranks of this process: they reduce, whoever computes. */
  readonly ranks: number;
  /** Processes that have computed. */
  readonly nodes: number;
  /**
   * These are the weights from now on: after the first weights are in place, and after every commit. They stay
   * where they are until the next call but one.
   *
   * @returns settles when what can leave has left
   */
  publish(step: number, side: Side): Promise<void>;
  /** Waits until enough are there to begin. */
  gathered(signal: AbortSignal): Promise<void>;
  /**
   * Computes all shards; each is counted once.
   *
   * @returns null when nobody is there and the signal was raised while waiting
   * @throws LockstepError RANK_FAILED when a shard cannot be had; STEP_NOT_FINITE
   */
  computeShards(tasks: readonly ShardTask[], options?: StepOptions): Promise<ShardReport[] | null>;
  /**
   * While a step is computed: the one that comes next, before this one is committed. Whoever has nothing left to do may
   * begin with it as soon as all of this one is done and finite. Absent: nobody can.
   *
   * @returns whether somebody may have begun: then `computeShards` has to be asked for this very step next
   */
  foresee?(tasks: readonly ShardTask[], updateOf: UpdateOf): boolean;
  /**
   * Subtrees whose sums lie in slots, and their merged moments in those of their first shards, after `computeShards`.
   * Absent: every shard alone.
   */
  readonly covers?: readonly Cover[];
  /** Sums and updates what has not been updated; the reports are of all of the step. */
  updateSlices(tasks: readonly SliceTask[]): Promise<SliceReport[]>;
  evaluate(tasks: readonly EvaluationTask[], onDone: () => void): Promise<EvaluationReport[]>;
  close(end?: WorkEnd): Promise<void>;
}

/** Why there is no more work, for whoever computes elsewhere. */
export interface WorkEnd {
  readonly reason: string;
  /** The run may go on later, at the same address. */
  readonly again: boolean;
}
