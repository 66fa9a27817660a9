/** What a node's ranks do next: shards before evaluations, and one more shard in hand for each rank. */
import type { CoordinatorMessage } from '@lockstep/shared/protocol/messages.ts';
import { mayGive } from '../rank/tasks-in-hand.ts';
import type { DeskBoard } from './desk-board.ts';
import type { RankErrands, ShardJob } from './rank-errands.ts';
import type { WeightsShelf } from './weights-shelf.ts';

export class ErrandQueue {
  private readonly board: DeskBoard;
  private readonly shelf: WeightsShelf;
  private readonly errands: RankErrands;
  /** Something has ended: there may be more to do. */
  private readonly onEnd: () => void;
  private jobs: ShardJob[] = [];
  private evaluations: CoordinatorMessage<'evaluate'>[] = [];
  /** Tasks that ranks have. */
  private given = 0;
  /** Shards that ranks have and have not begun, in the order in which they will. */
  private ahead: ShardJob[] = [];

  constructor(board: DeskBoard, shelf: WeightsShelf, errands: RankErrands, onEnd: () => void) {
    this.board = board;
    this.shelf = shelf;
    this.errands = errands;
    this.onEnd = onEnd;
  }

  /** Tasks that ranks are at. */
  get computing(): number {
    return this.given - this.ahead.length;
  }

  get waiting(): number {
    return this.ahead.length + this.jobs.length + this.evaluations.length;
  }

  get isIdle(): boolean {
    return this.given === 0;
  }

  addShards(jobs: readonly ShardJob[]): void {
    this.jobs.push(...jobs);
  }

  addEvaluation(message: CoordinatorMessage<'evaluate'>): void {
    this.evaluations.push(message);
  }

  /** An assignment was taken back: what is not begun of it is not begun. */
  drop(assignment: number): void {
    const isOfIt = ({ open }: ShardJob): boolean => open.assignment === assignment;
    this.jobs = this.jobs.filter((job) => !isOfIt(job));
    this.evaluations = this.evaluations.filter((message) => message.assignment !== assignment);
    const { running, setup } = this.board;
    for (const { shard } of this.ahead.filter(isOfIt)) {
      // The rank that has it gives it back when its turn comes; until then nobody else may have the slot.
      running.set(shard, null);
      setup.host.store.control.revoke(shard);
    }
  }

  dropEvaluations(): void {
    this.evaluations = [];
  }

  /** Gives ranks what they can take. */
  pump(): void {
    const { size } = this.board.setup.host.pool;
    while (mayGive(this.jobs.length, this.given, size)) {
      const done = this.next();
      if (done === null) return;
      this.given += 1;
      void done.finally(() => {
        this.given -= 1;
        const begun = this.ahead.shift();
        this.onEnd();
        if (begun !== undefined) this.noteBegun(begun);
      });
    }
  }

  /** @returns when it ends; null: there is nothing */
  private next(): Promise<void> | null {
    const { size } = this.board.setup.host.pool;
    const job = this.jobs.shift();
    if (job !== undefined) {
      // First: telling of it takes longer than a rank should wait.
      const done = this.errands.shard(job);
      if (this.given < size) this.noteBegun(job);
      else this.ahead.push(job);
      return done;
    }
    const at = this.evaluations.findIndex(({ step }) => step === this.shelf.step);
    const [evaluation] = at < 0 ? [] : this.evaluations.splice(at, 1);
    return evaluation === undefined ? null : this.errands.evaluation(evaluation);
  }

  private noteBegun({ open }: ShardJob): void {
    if (this.board.open.includes(open)) this.board.noteBegun(open.assignment, 1);
  }
}
