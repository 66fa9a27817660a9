/**
 * What a node's ranks do next: shards before evaluations. A rank that is alone gets all shards there are, since nobody
 * else could take one from it; of several each gets one, and one more in hand.
 */
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
  /** Those of these that are shards. */
  private readonly inHand = new Set<readonly ShardJob[]>();

  constructor(board: DeskBoard, shelf: WeightsShelf, errands: RankErrands, onEnd: () => void) {
    this.board = board;
    this.shelf = shelf;
    this.errands = errands;
    this.onEnd = onEnd;
  }

  /** Tasks that ranks are at. */
  get computing(): number {
    return Math.min(this.unfinished, this.board.setup.host.pool.size);
  }

  get waiting(): number {
    return this.unfinished - this.computing + this.jobs.length + this.evaluations.length;
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
    const { control } = setup.host.store;
    for (const job of [...this.inHand].flat()) {
      const { shard } = job;
      if (!isOfIt(job) || control.sinceBegun(shard) !== null) continue;
      // The rank that has it gives it back when its turn comes; until then nobody else may have the slot.
      running.set(shard, null);
      control.revoke(shard);
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
        this.onEnd();
      });
    }
  }

  /** @returns when it ends; null: there is nothing */
  private next(): Promise<void> | null {
    const { size } = this.board.setup.host.pool;
    const jobs = this.jobs.splice(0, size === 1 ? this.jobs.length : 1);
    if (jobs.length > 0) return this.compute(jobs);
    const at = this.evaluations.findIndex(({ step }) => step === this.shelf.step);
    const [evaluation] = at < 0 ? [] : this.evaluations.splice(at, 1);
    return evaluation === undefined ? null : this.errands.evaluation(evaluation);
  }

  private async compute(jobs: readonly ShardJob[]): Promise<void> {
    this.inHand.add(jobs);
    await this.errands.shards(jobs);
    this.inHand.delete(jobs);
  }

  /** What ranks have and have not done: shards, and evaluations. */
  private get unfinished(): number {
    const shards = [...this.inHand].flat().filter(({ shard }) => this.board.reportOf(shard) === null);
    return shards.length + this.given - this.inHand.size;
  }
}
