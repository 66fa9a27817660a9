/** Who computes: the run-loop sees one interface, whether ranks are threads here or nodes elsewhere. */
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
  readonly ranks: number;
  readonly nodes: number;
  /** Computes all shards; each is counted once. @throws LockstepError RANK_FAILED when one cannot be had */
  computeShards(tasks: readonly ShardTask[]): Promise<ShardReport[]>;
  updateSlices(tasks: readonly SliceTask[]): Promise<SliceReport[]>;
  evaluate(tasks: readonly EvaluationTask[], onDone: () => void): Promise<EvaluationReport[]>;
  close(): Promise<void>;
}
