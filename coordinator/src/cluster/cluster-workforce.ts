/**
 * A workforce of whoever is there: the threads of this process and the nodes that have joined, all of them
 * members. This file knows who is there and leads a step from its beginning to its end; `work-distribution.ts`
 * gives the work out, `work-settlement.ts` takes what comes of it.
 */
import type { GradientRange } from '@lockstep/shared/model/gradient-parts.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';
import type { Side } from '@lockstep/worker/rank/store.ts';
import type {
  Cover,
  EvaluationReport,
  EvaluationTask,
  ShardReport,
  ShardTask,
  SliceReport,
  SliceTask,
} from '@lockstep/worker/rank/tasks.ts';
import type { RunListener } from '../metrics/events.ts';
import { EvaluationRound } from './evaluation-round.ts';
import { LocalMember } from './local-member.ts';
import { LocalSyncMember } from './local-sync-member.ts';
import { LocalRanks } from './local-ranks.ts';
import { EarlyUpdates } from './early-updates.ts';
import type { Member, MemberEvents } from './member.ts';
import { endStep } from './member-record.ts';
import { decideGoingOn, decideStart } from './presence.ts';
import { beginStep, groundOf, planOf } from './step-in-progress.ts';
import { WakingClock } from './waking-clock.ts';
import { WorkDistribution } from './work-distribution.ts';
import { WorkSettlement } from './work-settlement.ts';
import type { LostListener, StepOptions, Workforce } from './workforce.ts';

/** A block of so many floats, all that one float32 part holds, is updated in less time than it took to receive it. */
const mainThreadFloats = 2 ** 18;

export interface ClusterSetup {
  readonly host: RankHost;
  /** Whether the threads of this process compute shards, or only reduce. */
  readonly computes: boolean;
  /** Images a second of the threads of this process, where they were measured. */
  readonly speed: number | null;
  readonly minNodes: number;
  /** Batch-norm mode `sync`: all shards of a step advance together, so none changes hands but after a loss. */
  readonly sync: boolean;
  readonly listen: RunListener;
  readonly onLost: LostListener;
  /** The weights that the next tasks read. */
  readonly onPublish: (step: number, side: Side) => void;
  /** The pieces in which gradients and weights travel. */
  readonly blocks: readonly GradientRange[];
  /** A piece of the weights to come is there, before the step is committed. */
  readonly onUpdated: (range: GradientRange) => void;
}

export class ClusterWorkforce implements Workforce {
  private readonly setup: ClusterSetup;
  private readonly own: LocalRanks;
  private readonly local: LocalMember | LocalSyncMember;
  private readonly memberEvents: MemberEvents;
  private readonly members = new Map<number, Member>();
  /** How long work has been out. */
  readonly clock = new WakingClock();
  private readonly distribution: WorkDistribution;
  private readonly settlement: WorkSettlement;
  private changed = Promise.withResolvers<void>();
  private evaluation: EvaluationRound | null = null;
  /** Of the step that comes next, as far as it is known. */
  private next: readonly ShardTask[] | null = null;
  /** Of the step that was computed last. */
  covers: readonly Cover[] = [];

  constructor(setup: ClusterSetup) {
    this.setup = setup;
    this.own = new LocalRanks(setup.host.pool, setup.onLost);
    this.distribution = new WorkDistribution(this.members, setup.sync, setup.listen, this.clock.now);
    this.memberEvents = {
      onPiece: (work, sum, range) => this.settlement.takePiece(work, sum, range),
      onAbandoned: (slot, release) => this.settlement.abandon(slot, release),
      onDelivery: (delivery) => this.settlement.deliver(delivery),
      onPoint: (work, subtree, point, values) => this.settlement.takePoint(work, subtree, point, values),
      onFailure: (work, cause, reason) => this.settlement.fail(work, cause, reason),
      onProgress: () => this.distribution.distribute(),
    };
    this.local = setup.sync
      ? new LocalSyncMember(setup.host, this.memberEvents)
      : new LocalMember(
          setup.host,
          (shard) => this.distribution.current?.tasks.get(shard) as ShardTask,
          this.memberEvents,
          setup.onLost,
          setup.speed,
        );
    this.settlement = new WorkSettlement(this.distribution, this.local);
    if (setup.computes) this.members.set(this.local.id, this.local);
  }

  get lastDecision(): string {
    return this.distribution.lastDecision;
  }

  get events(): MemberEvents {
    return this.memberEvents;
  }

  get ranks(): number {
    return this.own.ranks;
  }

  get nodes(): number {
    return Math.max(1, this.distribution.contributors.size);
  }

  /** Everybody who may compute. */
  present(): readonly Member[] {
    return [...this.members.values()];
  }

  async publish(step: number, side: Side): Promise<void> {
    this.setup.onPublish(step, side);
  }

  async gathered(signal: AbortSignal): Promise<void> {
    for (;;) {
      const { go, reason } = decideStart(this.nodeCount, this.setup.minNodes, this.ownThreads);
      this.distribution.lastDecision = reason;
      if (go || signal.aborted) return;
      this.setup.listen({ type: 'waiting', step: 0, reason });
      await this.change(signal);
    }
  }

  /** A node is ready. */
  add(member: Member): void {
    this.members.set(member.id, member);
    this.distribution.joined();
    this.wake();
    this.tick();
  }

  /** A node is gone; its shards go to others at once. */
  remove(member: Member, reason: string): void {
    if (!this.members.delete(member.id)) return;
    this.distribution.forget(member, reason);
    this.evaluation?.forget(member.id, reason);
    this.wake();
    this.distribution.distribute();
  }

  /** What a member has is worth nothing; it stays. */
  discard(member: Member, reason: string): void {
    for (const work of this.distribution.allWorksOf(member)) member.takeBack(work, reason);
    this.distribution.forget(member, reason);
    this.evaluation?.forget(member.id, reason, true);
    this.distribution.distribute();
  }

  /** Called every now and then: is somebody late, is somebody idle? */
  tick(): void {
    // Looked at in any case: time that nobody looks at does not count.
    this.clock.now();
    this.distribution.distribute();
    this.evaluation?.distribute();
  }

  async computeShards(
    tasks: readonly ShardTask[],
    { updateOf, signal }: StepOptions = {},
  ): Promise<ShardReport[] | null> {
    this.settlement.stepIsOver();
    const { blocks, onUpdated } = this.setup;
    const early = new EarlyUpdates({
      shards: tasks.length,
      blocks,
      updateOf: updateOf ?? null,
      run: (task) => this.updateBlock(task),
      onUpdated: (range) => {
        onUpdated(range);
        // With the first new weights, so that it wakes nobody who is not woken anyway.
        if (this.next !== null) this.distribution.giveAhead(this.next);
      },
    });
    const ahead = this.distribution.takeAhead(tasks[0]?.step ?? 0);
    const layout = this.setup.sync ? this.setup.host.layout : null;
    const current = beginStep(ahead?.ground ?? groundOf(tasks, layout, this.local), early);
    ahead?.begin(this.clock.now());
    this.local.begin(planOf(tasks), tasks[0]?.side ?? 0);
    const stop = (): void => {
      if (!decideGoingOn(this.nodeCount, this.ownThreads).go) current.done.resolve(false);
    };
    signal?.addEventListener('abort', stop);
    this.distribution.current = current;
    this.settlement.begin(current, ahead?.take() ?? []);
    try {
      this.distribution.distribute();
      if (signal?.aborted) stop();
      const complete = await current.done.promise;
      early.close();
      this.covers = current.ledger.covers();
      return complete ? current.ledger.results() : null;
    } finally {
      signal?.removeEventListener('abort', stop);
      this.next = null;
      this.distribution.current = null;
      for (const work of current.ledger.works.values()) work.member.takeBack(work, 'the step is complete');
      endStep([...this.members.values()].map(({ record }) => record));
      // A thread that still computes a shard that came from elsewhere must not write into the next step's slot.
      await this.local.settled();
    }
  }

  foresee(tasks: readonly ShardTask[]): boolean {
    this.next = tasks;
    // What is given out ahead can be taken back.
    return false;
  }

  async updateSlices(tasks: readonly SliceTask[]): Promise<SliceReport[]> {
    const { reports, left } = await this.settlement.settleUpdates(tasks);
    return [...reports, ...(await this.own.updateSlices(left))];
  }

  async evaluate(tasks: readonly EvaluationTask[], onDone: () => void): Promise<EvaluationReport[]> {
    const { own, distribution } = this;
    distribution.withdrawAhead('an evaluation comes first');
    const step = tasks[0]?.step ?? 0;
    this.evaluation = new EvaluationRound({
      now: this.clock.now,
      tasks,
      onDone,
      members: () => this.members.values(),
      own: {
        ranks: own.ranks,
        computes: this.setup.computes,
        evaluate: (task) => own.untilDone(task),
      },
      nextId: () => distribution.nextId(),
      decide: (reason) => {
        distribution.lastDecision = reason;
        this.setup.listen({ type: 'decision', step, reason });
      },
    });
    try {
      return await this.evaluation.run();
    } finally {
      this.evaluation = null;
    }
  }

  close(): Promise<void> {
    return this.own.close();
  }

  /** Small blocks here and now: handing one to a rank, and hearing of it, takes longer than to do it. */
  private async updateBlock(task: SliceTask): Promise<SliceReport> {
    const isSmall = task.to - task.from <= mainThreadFloats;
    return isSmall ? this.setup.host.updateSlice(task) : this.own.untilDone(task);
  }

  private get nodeCount(): number {
    return this.members.size - (this.setup.computes ? 1 : 0);
  }

  private get ownThreads(): number {
    return this.setup.computes ? this.own.ranks : 0;
  }

  private wake(): void {
    this.changed.resolve();
    this.changed = Promise.withResolvers<void>();
  }

  private async change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const aborted = (): void => resolve();
    signal.addEventListener('abort', aborted, { once: true });
    await Promise.race([this.changed.promise, promise]);
    signal.removeEventListener('abort', aborted);
  }
}
