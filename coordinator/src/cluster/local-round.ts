/**
 * Steps on the ranks of this process. A rank gets one task and helps itself to shards and to the update; when the next
 * step lies open by the time that one is over, it goes on without a word, and what this thread does for a commit is done
 * while ranks compute.
 */
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import type { Layout } from '@lockstep/shared/model/layout.ts';
import { PairStates } from '@lockstep/worker/rank/pair-states.ts';
import type { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import { RoundBoard } from '@lockstep/worker/rank/round-board.ts';
import { updateUnits } from '@lockstep/worker/rank/round-order.ts';
import type { Side, Store } from '@lockstep/worker/rank/store.ts';
import type { ShardReport, ShardTask, SliceReport } from '@lockstep/worker/rank/tasks.ts';
import { giveOutAgain } from './lost-task.ts';
import type { LostListener, UpdateOf } from './workforce.ts';

export interface RoundResult {
  /** In the order of the tasks. */
  readonly shards: ShardReport[];
  /** Of the whole update; null where none was asked for. */
  readonly slices: SliceReport[] | null;
}

/** What of the store belongs to the steps that read a side. */
interface Desk {
  readonly board: RoundBoard;
  readonly pairs: PairStates;
}

/** A step that lies open to the ranks. */
interface OpenRound extends Desk {
  readonly step: number;
  readonly side: Side;
  readonly seats: number;
  readonly updates: boolean;
}

export class LocalRound {
  private readonly pool: RankPool;
  private readonly onLost: LostListener;
  private readonly store: Store;
  private readonly units: number;
  private readonly desks: readonly [Desk, Desk];
  private current: OpenRound | null = null;
  /** Open before the current one is over. */
  private ahead: OpenRound | null = null;
  /** Ranks under way, by seat. */
  private readonly seated = new Map<number, Promise<void>>();
  /** How often each shard was lost in the current round; null: a rank that had none. */
  private losses = new Map<number | null, number>();
  /** A rank was lost since all were back: its place may be taken while the new one is still being started. */
  private isShort = false;
  /** Why no round can be computed until all ranks are back. */
  private failure: unknown = null;
  /** Settled when the current round is over, or cannot be. */
  private over = Promise.withResolvers<void>();

  constructor(pool: RankPool, store: Store, layout: Layout, onLost: LostListener) {
    this.pool = pool;
    this.onLost = onLost;
    this.store = store;
    this.units = updateUnits(gradientParts(layout)).length;
    const deskOf = (side: Side): Desk => ({
      board: new RoundBoard(store.arena, store.layout, side),
      pairs: new PairStates(store, layout, side),
    });
    this.desks = [deskOf(0), deskOf(1)];
  }

  /**
   * @param ranks at most so many take part, unless the step lies open already
   * @param updateOf for parts of the gradient that have come from all shards; null: nothing is updated
   * @throws LockstepError RANK_FAILED; the other ranks have then come back
   */
  async compute(tasks: readonly ShardTask[], ranks: number, updateOf: UpdateOf | null): Promise<RoundResult> {
    const [first] = tasks;
    if (first === undefined) return { shards: [], slices: null };
    // Its ranks would go on writing.
    if (this.ahead !== null && this.ahead.step !== first.step) throw new Error('another step has been begun');
    const round = this.ahead ?? this.open(tasks, first, ranks, updateOf);
    this.ahead = null;
    this.current = round;
    this.losses = new Map();
    this.over = Promise.withResolvers();
    if (this.failure !== null) this.over.reject(this.failure);
    const stop = this.store.control.watch(() => {
      if (round.board.isOver(round.step)) this.over.resolve();
    });
    this.send();
    try {
      await this.over.promise;
    } catch (failed) {
      await this.allBack();
      throw failed;
    } finally {
      stop();
    }
    const { board, updates } = round;
    const { notFinite } = board;
    const result: RoundResult = {
      shards: board.reports(),
      slices: updates ? [{ kind: 'slice', notFinite }] : null,
    };
    // Nobody goes on from a step that will be refused.
    if (notFinite > 0) this.withdraw();
    if (this.ahead === null) await this.home();
    return result;
  }

  /** Opens the step behind the current one. @returns false when there is nothing to follow */
  foresee(tasks: readonly ShardTask[], updateOf: UpdateOf): boolean {
    const [first] = tasks;
    const { current } = this;
    // Whoever updates the slots afterwards still needs what lies there.
    if (current?.updates !== true || this.ahead !== null || this.isShort) return false;
    if (first?.step !== current.step + 1 || first.side === current.side) return false;
    this.ahead = this.open(tasks, first, this.pool.size, updateOf);
    this.send();
    return true;
  }

  private open(
    tasks: readonly ShardTask[],
    { step, side, epoch }: ShardTask,
    ranks: number,
    updateOf: UpdateOf | null,
  ): OpenRound {
    const update = updateOf?.({ from: 0, to: this.store.layout.parameterCount }, null) ?? null;
    // Who finds no shard left still helps with the update.
    const seats = Math.min(this.pool.size, ranks, update === null ? tasks.length : ranks);
    const { board, pairs } = this.desks[side];
    pairs.begin(tasks.map(({ shard }) => shard));
    board.open({ step, epoch, seats, shards: tasks, update }, this.units);
    this.store.control.wakeRanks();
    return { board, pairs, step, side, seats, updates: update !== null };
  }

  /** Whoever is not under way and has something to do is sent. */
  private send(): void {
    for (let seat = 0; seat < this.pool.size; seat++) {
      if (this.seated.has(seat) || this.roundFor(seat) === null) continue;
      this.seated.set(seat, this.sit(seat));
    }
  }

  /** The first round that a rank can take part in. */
  private roundFor(seat: number): OpenRound | null {
    const { current, ahead } = this;
    if (current === null || this.store.control.isPaused) return null;
    const isOver = current.board.isOver(current.step);
    const round = isOver && current.board.notFinite === 0 ? ahead : isOver ? null : current;
    return round !== null && seat < round.seats && !round.board.isOver(round.step) ? round : null;
  }

  /** Somebody sits in this seat as long as there is something to do. */
  private async sit(seat: number): Promise<void> {
    for (let round = this.roundFor(seat); round !== null; round = this.roundFor(seat)) {
      const outcome = await this.pool.run({ kind: 'round', step: round.step, side: round.side, seat });
      if (!outcome.ok) this.lose(seat, outcome.reason);
    }
    // In the same breath as the last look: whoever opens a round afterwards finds the seat empty.
    this.seated.delete(seat);
  }

  /** What a lost rank had is anybody's. */
  private lose(seat: number, why: string): void {
    const rounds = [this.current, this.ahead].filter((round) => round !== null);
    const held = rounds.map((round) => ({ round, shard: round.board.heldBy(seat) }));
    const { shard = null } = held.find((one) => one.shard !== null) ?? {};
    const attempts = (this.losses.get(shard) ?? 0) + 1;
    this.losses.set(shard, attempts);
    this.isShort = true;
    try {
      giveOutAgain({ task: shard === null ? 'round' : 'shard', shard, attempts, why }, this.onLost);
    } catch (failed) {
      // The others would wait for shards that nobody computes.
      this.store.control.pause();
      this.failure = failed;
      this.over.reject(failed);
      return;
    }
    for (const { round, shard: own } of held) {
      // First: whoever takes a shard must find its slot in order.
      if (own !== null) round.pairs.recover(own);
      round.board.release(seat);
    }
    this.store.control.wakeRanks();
  }

  /** What was open ahead is not. */
  private withdraw(): void {
    this.ahead?.board.close();
    this.ahead = null;
  }

  private async home(): Promise<void> {
    await Promise.all(this.seated.values());
    this.isShort = false;
  }

  /** Ranks were told to come back: not before all have, for one that goes on would write into somebody else's slot. */
  private async allBack(): Promise<void> {
    await this.home();
    this.withdraw();
    this.current?.board.close();
    this.current = null;
    this.failure = null;
    this.store.control.resume();
  }
}
