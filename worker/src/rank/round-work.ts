/**
 * A rank's part in rounds: shards while there are any; then, while others still compute theirs, the update of those
 * parts of the gradient that have come from all shards, and else a share of what the others compute. When all of a step
 * is done the rank goes on with the next one by itself, if that lies open already.
 */
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { Side } from './control.ts';
import { RoundBoard } from './round-board.ts';
import { type RoundOrder, type TakenShard, type UpdateUnit, updateUnits } from './round-order.ts';
import type { SharedWork } from './shared-work.ts';
import type { SliceSums } from './slice-sums.ts';
import { otherSide } from './store.ts';
import type { RoundReport, RoundTask, ShardReport, ShardTask } from './tasks.ts';
import type { Workbench } from './workbench.ts';

/** Looks around at least so often, in milliseconds; whatever there is to see is rung for. */
const longestSleep = 1000;

/** A step that a rank takes part in. */
interface Round extends Omit<RoundOrder, 'shards'> {
  readonly board: RoundBoard;
  /** That it reads. */
  readonly side: Side;
  readonly seat: number;
}

export class RoundWork {
  private readonly bench: Workbench;
  private readonly sums: SliceSums;
  private readonly shared: SharedWork;
  private readonly boards: readonly [RoundBoard, RoundBoard];
  private readonly units: readonly UpdateUnit[];
  private readonly compute: (task: ShardTask) => ShardReport;
  /** What the rank is at, for those that wait for its parts. */
  private at: { readonly round: Round; readonly taken: TakenShard } | null = null;

  constructor(
    bench: Workbench,
    sums: SliceSums,
    shared: SharedWork,
    compute: (task: ShardTask) => ShardReport,
  ) {
    this.bench = bench;
    this.sums = sums;
    this.shared = shared;
    const { arena, layout } = bench.store;
    this.boards = [new RoundBoard(arena, layout, 0), new RoundBoard(arena, layout, 1)];
    this.units = updateUnits(gradientParts(layOut(bench.setup.model)));
    this.compute = compute;
  }

  /** Until no step is open that follows, or the main thread wants its ranks back. */
  run({ step, side, seat }: RoundTask): RoundReport {
    let [rounds, floats] = [0, 0];
    const packedBefore = this.bench.packed;
    const helpedBefore = this.shared.helped;
    for (let round = this.enter(step, side, seat); round !== null; round = this.next(round)) {
      floats += this.takePart(round);
      rounds += 1;
    }
    const packed = this.bench.packed - packedBefore;
    return { kind: 'round', rounds, floats, packed, helped: this.shared.helped - helpedBefore };
  }

  /** A part of a shard lies in its slot: whoever came last of all shards wakes those that wait for it. */
  passed(part: number): void {
    if (this.at === null) return;
    const { round, taken } = this.at;
    round.board.pass(taken, part + 1);
    if (round.update !== null && round.board.isThere(part)) this.bench.store.control.wakeRanks();
  }

  private enter(step: number, side: Side, seat: number): Round | null {
    const board = this.boards[side];
    const order = board.order();
    return order?.step === step && seat < order.seats ? { ...order, board, side, seat } : null;
  }

  /** What follows a step that is over. */
  private next({ board, step, side, seat }: Round): Round | null {
    // A step that cannot be committed is followed by none. Where another one is open, this one was.
    if (this.bench.store.control.isPaused || (board.isOpen(step) && board.notFinite > 0)) return null;
    return this.enter(step + 1, otherSide(side), seat);
  }

  /** Until all of the step is done. @returns floats that this rank has updated */
  private takePart(round: Round): number {
    const { board, step } = round;
    const { control } = this.bench.store;
    let floats = 0;
    while (!control.isPaused && !board.isOver(step)) {
      if (this.computeNext(round)) continue;
      const updated = this.updateNext(round);
      floats += updated;
      if (updated > 0 || this.shared.help()) continue;
      if (this.shared.awaitRun(() => board.isOver(step))) continue;
      const isAwake = (): boolean =>
        board.isOver(step) || board.hasWork(step, this.units) || this.shared.isWanted() || control.isPaused;
      control.waitUntil(isAwake, longestSleep);
    }
    this.shared.withdraw();
    return floats;
  }

  /** @returns false when nobody needs a shard computed */
  private computeNext(round: Round): boolean {
    const { board, step, side, epoch, seat } = round;
    const taken = board.takeShard(step, seat);
    if (taken === null) return false;
    this.shared.withdraw();
    this.at = { round, taken };
    const { shard, samples } = taken;
    const report = this.compute({ kind: 'shard', step, side, epoch, shard, samples });
    this.at = null;
    if (board.finishShard(taken, report)) this.tellAll();
    return true;
  }

  /** @returns floats; 0 when nothing can be updated now */
  private updateNext({ board, step, side, seat, update }: Round): number {
    const taken = update === null ? null : board.takeUnit(step, seat, this.units);
    if (update === null || taken === null) return 0;
    const { from, to } = this.units[taken] as UpdateUnit;
    const { notFinite } = this.sums.update({ kind: 'slice', side, from, to, ...update });
    if (board.finishUnit(taken, notFinite)) this.tellAll();
    return to - from;
  }

  /** The step is over. */
  private tellAll(): void {
    const { control } = this.bench.store;
    control.wakeRanks();
    control.tell();
  }
}
