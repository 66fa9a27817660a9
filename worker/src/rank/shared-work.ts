/**
 * Work on one shard that several ranks share: at the end of a step, or when there are more ranks than shards, those that find none
 * left help with the runs of those that have one. Without them a rank makes its calls alone, in order.
 */
import type { SharedCall, SharedUnit, Turn } from '@lockstep/shared/model/run-sharing.ts';
import { HelpBoard, type OpenRun } from './help-board.ts';
import type { Block, CutProgram, Workbench } from './workbench.ts';

export class SharedWork {
  /** Calls that this rank has made for shards of others. */
  helped = 0;
  private readonly bench: Workbench;
  private readonly board: HelpBoard;

  constructor(bench: Workbench) {
    const { helpWords, seats, seat } = bench.setup.hall;
    this.bench = bench;
    this.board = new HelpBoard(helpWords, seats, seat);
    // Somebody may still help whoever sat here before.
    this.board.clear();
  }

  /**
   * Makes the calls of a shard that this rank has, with whoever has nothing else to do.
   *
   * @returns false when a helper was lost, and what lies in the arena is not to be trusted
   */
  execute(blocks: readonly Block[], program: CutProgram): boolean {
    for (const { steps, run } of blocks) {
      const wanted = run === null ? 0 : this.board.wanted();
      if (run === null || wanted < 1) this.bench.execute(steps);
      else if (!this.lead(run, program, wanted)) return false;
    }
    return true;
  }

  /** @param wanted helpers */
  private lead(index: number, program: CutProgram, wanted: number): boolean {
    const { board, bench } = this;
    const units = program.sharedRuns[index]?.units ?? [];
    const open = board.open(index, program.shardSize);
    bench.store.control.wakeRanks(Math.min(wanted, units.length - 1));
    const isWhole = this.work(open, units, 0);
    const begun = performance.now();
    if (isWhole && board.awaitFinished(open, units.length)) {
      bench.account('waiting', begun, 'waiting for helpers');
      return true;
    }
    board.clear();
    return false;
  }

  /** Whether somebody has opened a run in which there is something left to do. */
  isWanted(): boolean {
    return this.board.look() !== null;
  }

  /** @returns whether a run is open after a moment, or `isOver` */
  awaitRun(isOver: () => boolean): boolean {
    return this.board.awaitRun(isOver);
  }

  /** A rank without a shard makes calls of somebody else's run. @returns false when there was none to help with */
  help(): boolean {
    const { board, bench } = this;
    board.volunteer();
    const open = board.look();
    if (open === null) return false;
    const program = bench.program('train', open.images);
    const { ownBytes, seat } = bench.setup.hall;
    board.enter(open);
    this.work(open, program.sharedRuns[open.run]?.units ?? [], (open.desk - seat) * ownBytes);
    board.volunteer();
    return true;
  }

  /** The rank has something else to do than to help. */
  withdraw(): void {
    this.board.withdraw();
  }

  private awaitTurn(open: OpenRun, turn: Turn): boolean {
    const begun = performance.now();
    const hasCome = this.board.awaitTurn(open, turn);
    this.bench.account('waiting', begun, 'waiting for a turn');
    return hasCome;
  }

  /** Takes units while there are any. @returns false when the run is broken */
  private work(open: OpenRun, units: readonly SharedUnit[], shift: number): boolean {
    return this.board.workAll(open, units.length, (unit) =>
      (units[unit] ?? []).every((call) => this.make(call, open, shift)),
    );
  }

  /** Makes a call when its turn has come. @returns false when the run is broken */
  private make(call: SharedCall, open: OpenRun, shift: number): boolean {
    const { board, bench } = this;
    if (call.after !== null && !this.awaitTurn(open, call.after)) return false;
    bench.executeShared(call, shift);
    if (shift !== 0) {
      this.helped += 1;
      bench.midway?.();
    }
    if (call.counts !== null) board.count(open, call.counts);
    return true;
  }
}
