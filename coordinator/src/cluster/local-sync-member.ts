/** The threads of this process as a member in batch-norm mode `sync`. */
import { shardCount, shardsOf } from '@lockstep/shared/protocol/subtree.ts';
import type { StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';
import type { Side } from '@lockstep/worker/rank/store.ts';
import { SyncCrew } from '@lockstep/worker/rank/sync-crew.ts';
import type { PointTotal } from '../reduce/sync-step.ts';
import type { Member, MemberEvents, Work } from './member.ts';
import { MemberRecord } from './member-record.ts';

export class LocalSyncMember implements Member {
  readonly id = 0;
  readonly name = 'coordinator';
  readonly instance = 'coordinator';
  readonly fit = true;
  readonly sums = false;
  readonly ranks: number;
  readonly record: MemberRecord;
  private readonly crew: SyncCrew;
  private readonly events: MemberEvents;
  private readonly works = new Map<number, Work>();
  private stops: (() => void)[] = [];

  constructor(host: RankHost, events: MemberEvents) {
    this.ranks = host.pool.size;
    this.record = new MemberRecord(this.ranks);
    this.events = events;
    this.crew = new SyncCrew(host, false, {
      onReport: (report) => {
        const work = this.works.get(report.shard);
        const nothing = (): void => {};
        if (work === undefined) return;
        const sum = { from: report.shard, width: 1, slot: report.shard };
        this.events.onDelivery({ work, sum, reports: [report], store: nothing, release: nothing });
      },
      onFailure: (shards, reason) => {
        for (const work of new Set(shards.map((shard) => this.works.get(shard)))) {
          if (work !== undefined) this.events.onFailure(work, 'rank-lost', reason);
        }
      },
    });
  }

  /** A new step: its totals come to the store, whoever computes. */
  begin(plan: StepPlan, side: Side): void {
    this.crew.begin(plan, side);
  }

  give(work: Work): void {
    const shards = work.subtrees.flatMap(shardsOf);
    for (const shard of shards) this.works.set(shard, work);
    this.crew.add(shards.map((shard) => ({ shard })));
    const singles = shards.map((from) => ({ from, width: 1 }));
    this.stops.push(
      this.crew.exchange.watch(singles, (subtree, point, { values }) => {
        this.events.onPoint(work, subtree, point, values);
      }),
    );
  }

  total(_step: number, { point, values }: PointTotal): void {
    this.crew.total(point, values);
  }

  /** All shards of a step advance together. */
  begunOf(work: Work): number {
    return shardCount(work.subtrees);
  }

  takeBack(work: Work): boolean {
    const shards = work.subtrees.flatMap(shardsOf).filter((shard) => this.works.get(shard) === work);
    for (const shard of shards) this.works.delete(shard);
    this.crew.remove(shards);
    return shards.length > 0;
  }

  /** Never: every shard is held by one member to the end of the step. */
  isRunning(): boolean {
    return false;
  }

  async abandon(): Promise<void> {}

  async settled(): Promise<void> {
    for (const stop of this.stops) stop();
    this.stops = [];
    this.works.clear();
    await this.crew.end();
  }
}
