/** The threads of this process as a member: shards lie in their slots as soon as they are computed. */
import type { LostListener } from './workforce.ts';
import { shardCount } from '@lockstep/shared/protocol/subtree.ts';
import type { StoreControl } from '@lockstep/worker/rank/control.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';
import type { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import type { ShardTask } from '@lockstep/worker/rank/tasks.ts';
import type { Member, MemberEvents, Work } from './member.ts';
import { MemberRecord } from './member-record.ts';

export class LocalMember implements Member {
  readonly id = 0;
  readonly name = 'coordinator';
  readonly instance = 'coordinator';
  readonly record: MemberRecord;
  readonly fit = true;
  readonly sums = false;
  private readonly pool: RankPool;
  private readonly control: StoreControl;
  private readonly events: MemberEvents;
  private readonly taskOf: (shard: number) => ShardTask;
  private readonly onLost: LostListener;
  private waiting: { readonly work: Work; readonly shard: number }[] = [];
  /** By shard. */
  private readonly running = new Map<number, Promise<void>>();

  /** @param taskOf the task of a shard of the current step @param speed images a second, where known */
  constructor(
    { pool, store }: RankHost,
    taskOf: (shard: number) => ShardTask,
    events: MemberEvents,
    onLost: LostListener,
    speed: number | null,
  ) {
    this.pool = pool;
    this.control = store.control;
    this.taskOf = taskOf;
    this.events = events;
    this.onLost = onLost;
    this.record = new MemberRecord(pool.size, speed);
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

  begin(): void {
    // Slots are all that a step needs.
  }

  total(): void {
    // Only in mode `sync`.
  }

  begunOf(work: Work): number {
    return shardCount(work.subtrees) - this.waiting.filter((job) => job.work === work).length;
  }

  takeBack(work: Work): boolean {
    const before = this.waiting.length;
    this.waiting = this.waiting.filter((job) => job.work !== work);
    return this.waiting.length < before;
  }

  /** Shards that threads are at. */
  isRunning(shard: number): boolean {
    return this.running.has(shard);
  }

  /** Ends the computing of a shard that came from elsewhere: nobody writes into its slot afterwards. */
  async abandon(shard: number): Promise<void> {
    this.control.revoke(shard);
    await this.running.get(shard);
  }

  /** Until no thread writes into a slot any more. */
  async settled(): Promise<void> {
    await Promise.all([...this.running.keys()].map((shard) => this.abandon(shard)));
  }

  private pump(): void {
    while (this.waiting.length > 0 && this.running.size < this.pool.size) {
      const { work, shard } = this.waiting.shift() as { work: Work; shard: number };
      this.control.begin(shard);
      const done = this.compute(work, shard);
      this.running.set(shard, done);
    }
  }

  private async compute(work: Work, shard: number): Promise<void> {
    const outcome = await this.pool.run(this.taskOf(shard));
    this.running.delete(shard);
    this.pump();
    if (!outcome.ok) {
      this.onLost('shard', shard, outcome.reason);
      this.events.onFailure(work, 'rank-lost', outcome.reason);
    } else if (outcome.report.revoked !== true) {
      const sum = { from: shard, width: 1, slot: shard };
      const nothing = (): void => {};
      this.events.onDelivery({ work, sum, reports: [outcome.report], store: nothing, release: nothing });
    }
  }
}
