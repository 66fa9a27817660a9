/** Counts what the threads of one process exchange in a step: messages, their bytes, and floats that are reduced. */
import { serialize } from 'node:v8';
import type { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import type { RankReport, RankTask } from '@lockstep/worker/rank/tasks.ts';

/** Sums over some steps. */
export interface Counts {
  /** Tasks that went to a rank; each is answered by one report. */
  readonly tasks: number;
  /** Of tasks and reports, as structured clones. */
  readonly messageBytes: number;
  /** Floats of the gradient that were summed and updated: the model's, whoever does it. */
  readonly reducedFloats: number;
  /** Floats of the weights that were packed: the model's for each hall. */
  readonly packedFloats: number;
}

const nothing: Counts = { tasks: 0, messageBytes: 0, reducedFloats: 0, packedFloats: 0 };

export class StepCounts {
  private sum = nothing;

  /** Looks at all that passes the pool from now on. */
  constructor(pool: RankPool) {
    const run = pool.run.bind(pool);
    pool.run = async <T extends RankTask>(task: T) => {
      const outcome = await run(task);
      const bytes = serialize(task).length + serialize(outcome).length;
      const floats = outcome.ok ? reduced(task, outcome.report) : 0;
      const packed = outcome.ok && outcome.report.kind === 'round' ? outcome.report.packed : 0;
      const { tasks, messageBytes, reducedFloats, packedFloats } = this.sum;
      this.sum = {
        tasks: tasks + 1,
        messageBytes: messageBytes + bytes,
        reducedFloats: reducedFloats + floats,
        packedFloats: packedFloats + packed,
      };
      return outcome;
    };
  }

  /** What was counted since the last call. */
  take(): Counts {
    const taken = this.sum;
    this.sum = nothing;
    return taken;
  }
}

/** Floats that somebody summed and updated: in a round, or afterwards. */
function reduced(task: RankTask, report: RankReport): number {
  if (task.kind === 'slice') return task.to - task.from;
  return report.kind === 'round' ? report.floats : 0;
}

/** Bytes of the gradient that are written and read in a step, from how the store is laid out. */
export interface GradientTraffic {
  /** Into slots, by backward. */
  readonly written: number;
  /** From slots, by the reduction. */
  readonly read: number;
  /** Chunks that change hands with an atomic operation, where two shards share a slot. */
  readonly handOvers: number;
}

/**
 * Every shard's gradient is written once; where two share a slot the second one reads the first and writes the sum, and
 * half as many slots are read in the end. None of it depends on the number of ranks.
 *
 * @param pairChunks chunks of a shared slot; null where each shard has its own
 */
export function gradientTraffic(
  parameters: number,
  shards: number,
  pairChunks: number | null,
): GradientTraffic {
  const bytes = 4 * parameters;
  if (pairChunks === null) return { written: bytes * shards, read: bytes * shards, handOvers: 0 };
  const seconds = Math.floor(shards / 2);
  const slots = shards - seconds;
  // The second shard writes its sum into the journal and then into the slot.
  return {
    written: bytes * (slots + 2 * seconds),
    read: bytes * (2 * seconds + slots),
    handOvers: pairChunks * shards,
  };
}
