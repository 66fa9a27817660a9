/**
 * A rank's part in a round: shards while there are any; then, while others still compute theirs, the update of those
 * parts of the gradient that have come from all shards.
 */
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import { RoundBoard, type UpdateUnit, updateUnits } from './round-board.ts';
import type { SliceSums } from './slice-sums.ts';
import type { RoundReport, RoundTask, ShardReport, ShardTask, SliceTask } from './tasks.ts';
import type { Workbench } from './workbench.ts';

/** Looks around at least so often, in milliseconds; whatever there is to see is rung for. */
const longestSleep = 1000;

export class RoundWork {
  private readonly bench: Workbench;
  private readonly sums: SliceSums;
  private readonly board: RoundBoard;
  private readonly units: readonly UpdateUnit[];
  private readonly compute: (task: ShardTask) => ShardReport;
  /** Whether somebody in this round waits for parts. */
  private updates = false;

  constructor(bench: Workbench, sums: SliceSums, compute: (task: ShardTask) => ShardReport) {
    this.bench = bench;
    this.sums = sums;
    this.board = new RoundBoard(bench.store.arena, bench.store.layout);
    this.units = updateUnits(gradientParts(layOut(bench.setup.model)));
    this.compute = compute;
  }

  /** Until all shards and all of the update are taken, or the main thread wants its ranks back. */
  run({ step, side, epoch, seat, update }: RoundTask): RoundReport {
    const { control } = this.bench.store;
    this.updates = update !== null;
    const shards: ShardReport[] = [];
    const done = { notFinite: 0, seconds: 0, floats: 0 };
    for (;;) {
      const taken = this.board.takeShard(seat);
      if (taken !== null) {
        const { shard, samples } = taken;
        shards.push(this.compute({ kind: 'shard', step, side, epoch, shard, samples }));
        this.board.finish(taken, seat);
      } else if (update === null || control.isPaused) break;
      else if (!this.updateNext(update, done)) {
        if (this.board.unitsTaken === this.units.length) break;
        control.waitUntil(() => this.hasWork() || control.isPaused, longestSleep);
      }
    }
    this.updates = false;
    return { kind: 'round', shards, ...done };
  }

  /** A part of a shard lies in its slot: whoever came last of all shards wakes those that wait for it. */
  passed(part: number): void {
    if (this.updates && this.isThere(part)) this.bench.store.control.wakeRanks();
  }

  /** @returns false when nothing can be updated now */
  private updateNext(
    update: SliceTask,
    done: { notFinite: number; seconds: number; floats: number },
  ): boolean {
    const unit = this.units[this.board.takeUnit(this.units, (part) => this.isThere(part))];
    if (unit === undefined) return false;
    // Others have nothing left to wait for.
    if (this.board.unitsTaken === this.units.length) this.bench.store.control.wakeRanks();
    const { from, to } = unit;
    const { notFinite, seconds } = this.sums.update({ ...update, from, to });
    done.notFinite += notFinite;
    done.seconds += seconds;
    done.floats += to - from;
    return true;
  }

  private hasWork(): boolean {
    const next = this.units[this.board.unitsTaken];
    return next === undefined || this.isThere(next.part) || this.board.hasShard;
  }

  /** Whether a part of the gradient has come from all shards of the round. */
  private isThere(part: number): boolean {
    const { control } = this.bench.store;
    return this.board.shards().every((shard) => control.passed(shard) > part);
  }
}
