/** The threads of this process as a member: shards lie in their slots as soon as they are computed. */
import type { LostListener } from './workforce.ts';
import type { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import type { ShardTask } from '@lockstep/worker/rank/tasks.ts';
import type { Member, MemberEvents, Work } from './member.ts';
import { MemberRecord } from './member-record.ts';

export class LocalMember implements Member {
  readonly id = 0;
  readonly name = 'coordinator';
  readonly record: MemberRecord;
  readonly fit = true;
  private readonly pool: RankPool;
  private readonly events: MemberEvents;
  private readonly taskOf: (shard: number) => ShardTask;
  private readonly onLost: LostListener;
  private waiting: { readonly work: Work; readonly shard: number }[] = [];
  private readonly running = new Set<Promise<void>>();

  /** @param taskOf the task of a shard of the current step */
  constructor(
    pool: RankPool,
    taskOf: (shard: number) => ShardTask,
    events: MemberEvents,
    onLost: LostListener,
  ) {
    this.pool = pool;
    this.taskOf = taskOf;
    this.events = events;
    this.onLost = onLost;
    this.record = new MemberRecord(pool.size);
  }

  get ranks(): number {
    return this.pool.size;
  }

  give(work: Work): void {
    for (const { from, width } of work.subtrees) {
      for (let shard = from; shard < from + width; shard++) this.waiting.push({ work, shard });
    }
    this.pump();
  }

  takeBack(work: Work): boolean {
    const before = this.waiting.length;
    this.waiting = this.waiting.filter((job) => job.work !== work);
    return this.waiting.length < before;
  }

  /** Until no thread writes into a slot any more. */
  async settled(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running);
  }

  private pump(): void {
    while (this.waiting.length > 0 && this.running.size < this.pool.size) {
      const { work, shard } = this.waiting.shift() as { work: Work; shard: number };
      const done = this.compute(work, shard);
      this.running.add(done);
      void done.finally(() => {
        this.running.delete(done);
        this.pump();
      });
    }
  }

  private async compute(work: Work, shard: number): Promise<void> {
    const outcome = await this.pool.run(this.taskOf(shard));
    if (!outcome.ok) {
      this.onLost('shard', shard, outcome.reason);
      this.events.onFailure(work, 'rank-lost', outcome.reason);
      return;
    }
    const subtree = { from: shard, width: 1 };
    this.events.onDelivery({ work, subtree, reports: [outcome.report], store: () => {} });
  }
}
