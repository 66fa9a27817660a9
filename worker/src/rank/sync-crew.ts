/**
 * Batch-norm mode `sync`: the ranks of one process and the shards that they hold in a step. Shards may be added and
 * taken away while the step runs: the ranks come back to where they would have to wait, and go on in new groups.
 */
import type { StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import type { RankHost } from './rank-host.ts';
import type { Side } from './store.ts';
import { StoreExchange } from './sync-exchange.ts';
import type { ShardReport, SubtreeOutlet, SyncTask } from './tasks.ts';

export interface CrewShard {
  readonly shard: number;
  readonly subtree?: SubtreeOutlet;
}

export interface CrewEvents {
  readonly onReport: (report: ShardReport) => void;
  /** Ranks were lost too often. */
  readonly onFailure: (shards: readonly number[], reason: string) => void;
}

/** How often in a step ranks may be lost before the process says that it cannot do it. */
const attemptLimit = 3;

export class SyncCrew {
  readonly exchange: StoreExchange;
  private readonly host: RankHost;
  private readonly awaitWeights: boolean;
  private readonly events: CrewEvents;
  private readonly held = new Map<number, CrewShard>();
  private readonly totals = new Map<number, Float64Array>();
  private plan: StepPlan | null = null;
  private side: Side = 0;
  private meeting = 0;
  private published = 0;
  private lost = 0;
  private loop: Promise<void> | null = null;

  /** @param awaitWeights whether weights may still be on their way when shards come; the store's control words tell */
  constructor(host: RankHost, awaitWeights: boolean, events: CrewEvents) {
    this.host = host;
    this.awaitWeights = awaitWeights;
    this.events = events;
    this.exchange = new StoreExchange(host.store, host.layout);
  }

  /** A new step; the ranks have left the one before. */
  begin(plan: StepPlan, side: Side): void {
    this.plan = plan;
    this.side = side;
    this.meeting += 1;
    this.published = 0;
    this.lost = 0;
    this.totals.clear();
    this.held.clear();
    this.exchange.begin(plan.shards.map(({ length }) => length));
  }

  /** The same step from its beginning, with other weights; the ranks have left it. Its totals are what they were. */
  restart(): void {
    this.meeting += 1;
  }

  /** Shards to compute from now on. */
  add(shards: readonly CrewShard[]): void {
    this.exchange.admit(shards.map(({ shard }) => shard));
    for (const one of shards) this.held.set(one.shard, one);
    this.regroup();
  }

  /** Shards that nobody wants from here any more. */
  remove(shards: readonly number[]): void {
    for (const shard of shards) this.held.delete(shard);
    this.regroup();
  }

  /** The whole batch's pairs at a point; in any order, each may come twice. */
  total(point: number, values: Float64Array): void {
    if (point < this.published) return;
    this.totals.set(point, values);
    for (
      let next = this.totals.get(this.published);
      next !== undefined;
      next = this.totals.get(this.published)
    ) {
      this.totals.delete(this.published);
      this.exchange.publish(this.published, next);
      this.published += 1;
    }
  }

  /** Ends the step: resolves when no rank is at it any more. */
  async end(): Promise<void> {
    this.held.clear();
    if (this.loop === null) return;
    this.exchange.pause();
    await this.loop;
  }

  get busy(): boolean {
    return this.loop !== null;
  }

  private regroup(): void {
    if (this.loop !== null) return this.exchange.pause();
    this.loop = this.work().finally(() => {
      this.loop = null;
    });
  }

  private async work(): Promise<void> {
    while (this.held.size > 0) {
      this.exchange.resume();
      await Promise.all(this.tasks().map((task) => this.run(task)));
    }
  }

  private async run(task: SyncTask): Promise<void> {
    const outcome = await this.host.pool.run(task);
    if (outcome.ok) {
      if (!outcome.report.finished) return;
      for (const report of outcome.report.shards) {
        if (this.held.delete(report.shard)) this.events.onReport(report);
      }
      return;
    }
    const shards = task.shards.map(({ shard }) => shard);
    for (const { subtree } of task.shards) if (subtree) this.host.store.control.reopenTaken(subtree.outbox);
    this.exchange.admit(shards.filter((shard) => this.held.has(shard)));
    this.lost += 1;
    if (this.lost < attemptLimit) return;
    for (const shard of shards) this.held.delete(shard);
    this.events.onFailure(shards, outcome.reason);
  }

  /** What is held, as tasks for the ranks: neighbours together. */
  private tasks(): SyncTask[] {
    const { plan, side, meeting, awaitWeights } = this;
    if (plan === null) return [];
    const shards = [...this.held.values()].toSorted((a, b) => a.shard - b.shard);
    const groups = Math.min(this.host.pool.size, shards.length);
    const { step, epoch, samples: batchSamples } = plan;
    return Array.from({ length: groups }, (_, i) => ({
      ...({ kind: 'sync', step, side, epoch, batchSamples, meeting, awaitWeights } as const),
      shards: shards
        .slice((shards.length * i) / groups, (shards.length * (i + 1)) / groups)
        .map((one) => ({ ...one, samples: plan.shards[one.shard] ?? [] })),
    }));
  }
}
