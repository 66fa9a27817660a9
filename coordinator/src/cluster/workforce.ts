/** Who computes: the run-loop sees one interface, whether ranks are threads here or nodes elsewhere. */
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import type { Side } from '@lockstep/worker/rank/store.ts';
import type {
  EvaluationReport,
  EvaluationTask,
  ShardReport,
  ShardTask,
  SliceReport,
  SliceTask,
} from '@lockstep/worker/rank/tasks.ts';

/** Called when a rank is lost with a task, and the task goes to another one. */
export type LostListener = (task: string, shard: number | null, reason: string) => void;

export interface Workforce {
  /** Ranks of this process: they reduce, whoever computes. */
  readonly ranks: number;
  /** Processes that have computed. */
  readonly nodes: number;
  /**
   * These are the weights from now on: after the first weights are in place, and after every commit. They stay
   * where they are until the next call but one.
   */
  publish(step: number, side: Side): void;
  /** Waits until enough are there to begin. */
  gathered(signal: AbortSignal): Promise<void>;
  /**
   * Computes all shards; each is counted once.
   *
   * @returns null when nobody is there and the signal was raised while waiting
   * @throws LockstepError RANK_FAILED when a shard cannot be had; STEP_NOT_FINITE
   */
  computeShards(tasks: readonly ShardTask[], signal?: AbortSignal): Promise<ShardReport[] | null>;
  /**
   * Subtrees whose sums lie in the slots of their first shards, and their merged moments with them, after
   * `computeShards`. Absent: every shard alone.
   */
  readonly covers?: readonly Subtree[];
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
