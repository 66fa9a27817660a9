/** A step on the ranks of this process: every rank gets one task, and helps itself to shards and to the update. */
import type { Layout } from '@lockstep/shared/model/layout.ts';
import { PairStates } from '@lockstep/worker/rank/pair-states.ts';
import type { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import { RoundBoard } from '@lockstep/worker/rank/round-board.ts';
import type { Store } from '@lockstep/worker/rank/store.ts';
import type {
  RoundReport,
  RoundTask,
  ShardReport,
  ShardTask,
  SliceReport,
} from '@lockstep/worker/rank/tasks.ts';
import { giveOutAgain } from './lost-task.ts';
import type { LostListener, UpdateOf } from './workforce.ts';

export interface RoundResult {
  /** In the order of the tasks. */
  readonly shards: ShardReport[];
  /** Of the whole update; null where it has to be done, or done again. */
  readonly slices: SliceReport[] | null;
}

export class LocalRound {
  private readonly pool: RankPool;
  private readonly onLost: LostListener;
  private readonly store: Store;
  private readonly board: RoundBoard;
  private readonly pairs: PairStates;
  /** How often each shard of the round was lost; null: a rank that had none. */
  private losses = new Map<number | null, number>();

  constructor(pool: RankPool, store: Store, layout: Layout, onLost: LostListener) {
    this.pool = pool;
    this.onLost = onLost;
    this.store = store;
    this.board = new RoundBoard(store.arena, store.layout);
    this.pairs = new PairStates(store, layout);
  }

  /**
   * @param ranks at most so many take part
   * @param updateOf for parts of the gradient that have come from all shards; null: nothing is updated
   * @throws LockstepError RANK_FAILED; the other ranks have then come back
   */
  async compute(tasks: readonly ShardTask[], ranks: number, updateOf: UpdateOf | null): Promise<RoundResult> {
    const [first] = tasks;
    if (first === undefined) return { shards: [], slices: null };
    const { step, side, epoch } = first;
    const { control, layout } = this.store;
    const update = updateOf?.({ from: 0, to: layout.parameterCount }, null) ?? null;
    this.pairs.begin(tasks.map(({ shard }) => shard));
    for (const { shard } of tasks) control.begin(shard);
    this.board.open(tasks);
    this.losses = new Map();
    // Who finds no shard left still helps with the update.
    const seats = Math.min(this.pool.size, ranks, update === null ? tasks.length : ranks);
    const sat = await Promise.allSettled(
      Array.from({ length: seats }, (_, seat) =>
        this.untilDone({ kind: 'round', step, side, epoch, seat, update }),
      ),
    );
    // Not before all have ended: one that goes on would write into a slot that is somebody else's by then.
    control.resume();
    const reports = sat.map((seat) => {
      if (seat.status === 'rejected') throw seat.reason;
      return seat.value;
    });
    const shards = new Map(reports.flatMap((report) => report.shards.map((one) => [one.shard, one])));
    return {
      shards: tasks.flatMap(({ shard }) => shards.get(shard) ?? []),
      // A lost rank does not say what it had updated.
      slices: update === null || this.losses.size > 0 ? null : reports.map(sliceOf),
    };
  }

  /** Somebody sits in this seat until the round is over. */
  private async untilDone(task: RoundTask): Promise<RoundReport> {
    const { board, pairs, losses, store } = this;
    for (;;) {
      const outcome = await this.pool.run(task);
      if (outcome.ok) return outcome.report;
      const { at, shards } = board.heldBy(task.seat);
      const attempts = (losses.get(at) ?? 0) + 1;
      losses.set(at, attempts);
      try {
        giveOutAgain(
          { task: at === null ? 'round' : 'shard', shard: at, attempts, why: outcome.reason },
          this.onLost,
        );
      } catch (failed) {
        // The others would wait for shards that nobody computes.
        store.control.pause();
        throw failed;
      }
      // First: whoever takes a shard must find its slot in order.
      for (const shard of shards) pairs.recover(shard);
      board.release(task.seat);
      store.control.wakeRanks();
    }
  }
}

function sliceOf({ notFinite, seconds }: RoundReport): SliceReport {
  return { kind: 'slice', notFinite, seconds };
}
