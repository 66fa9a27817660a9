/**
 * A workforce of whoever is there: the threads of this process and the nodes that have joined, all of them
 * members. Deciders say who gets what; this file carries it out and tells of it.
 */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import type { StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import { decompose } from '@lockstep/shared/protocol/subtree.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';
import type { Side } from '@lockstep/worker/rank/store.ts';
import type {
  EvaluationReport,
  EvaluationTask,
  ShardReport,
  ShardTask,
  SliceReport,
  SliceTask,
} from '@lockstep/worker/rank/tasks.ts';
import type { RunListener } from '../metrics/events.ts';
import { attemptLimit } from '../plan/assignment.ts';
import { apportion, contiguousRuns, type Hand } from './apportion.ts';
import { SyncStep } from '../reduce/sync-step.ts';
import { LocalMember } from './local-member.ts';
import { LocalSyncMember } from './local-sync-member.ts';
import { LocalRanks } from './local-ranks.ts';
import type { Delivery, Member, MemberEvents, Work } from './member.ts';
import { decideGoingOn, decideStart } from './presence.ts';
import { decideTheft } from './steal.ts';
import { shardsOf, StepLedger } from './step-ledger.ts';
import type { LostListener, Workforce } from './workforce.ts';

/** Most pieces that the shards of one member are given in. */
const pieceLimit = 64;

export interface ClusterSetup {
  readonly host: RankHost;
  /** Whether the threads of this process compute shards, or only reduce. */
  readonly computes: boolean;
  readonly minNodes: number;
  /** Batch-norm mode `sync`: all shards of a step advance together, so none changes hands but after a loss. */
  readonly sync: boolean;
  readonly listen: RunListener;
  readonly onLost: LostListener;
  /** The weights that the next tasks read. */
  readonly onPublish: (step: number, side: Side) => void;
}

interface Step {
  readonly ledger: StepLedger;
  readonly tasks: ReadonlyMap<number, ShardTask>;
  readonly meanSamples: number;
  readonly done: PromiseWithResolvers<boolean>;
  /** In mode `sync`: the totals so far, and who is told of them. */
  readonly sync: SyncStep | null;
  readonly audience: Set<Member>;
}

export class ClusterWorkforce implements Workforce {
  lastDecision = 'nothing has been decided yet';
  private readonly setup: ClusterSetup;
  private readonly own: LocalRanks;
  private readonly local: LocalMember | LocalSyncMember;
  private readonly memberEvents: MemberEvents;
  private readonly members = new Map<number, Member>();
  private readonly contributors = new Set<string>();
  private current: Step | null = null;
  private nextWork = 1;
  private changed = Promise.withResolvers<void>();
  private toldWaiting = false;
  /** Of the step that was computed last. */
  covers: readonly Subtree[] = [];

  constructor(setup: ClusterSetup) {
    this.setup = setup;
    this.own = new LocalRanks(setup.host.pool, setup.onLost);
    this.memberEvents = {
      onDelivery: (delivery) => this.deliver(delivery),
      onPoint: (work, subtree, point, values) => this.takePoint(work, subtree, point, values),
      onFailure: (work, cause, reason) => this.fail(work, cause, reason),
    };
    this.local = setup.sync
      ? new LocalSyncMember(setup.host, this.memberEvents)
      : new LocalMember(
          setup.host,
          (shard) => this.current?.tasks.get(shard) as ShardTask,
          this.memberEvents,
          setup.onLost,
        );
    if (setup.computes) this.members.set(this.local.id, this.local);
  }

  get events(): MemberEvents {
    return this.memberEvents;
  }

  get ranks(): number {
    return this.own.ranks;
  }

  get nodes(): number {
    return Math.max(1, this.contributors.size);
  }

  /** Everybody who may compute. */
  present(): readonly Member[] {
    return [...this.members.values()];
  }

  publish(step: number, side: Side): void {
    this.setup.onPublish(step, side);
  }

  async gathered(signal: AbortSignal): Promise<void> {
    for (;;) {
      const { go, reason } = decideStart(this.nodeCount, this.setup.minNodes, this.ownThreads);
      this.lastDecision = reason;
      if (go || signal.aborted) return;
      this.setup.listen({ type: 'waiting', step: 0, reason });
      await this.change(signal);
    }
  }

  /** A node is ready. */
  add(member: Member): void {
    this.members.set(member.id, member);
    this.toldWaiting = false;
    this.wake();
    this.distribute();
  }

  /** A node is gone; its shards go to others at once. */
  remove(member: Member, reason: string): void {
    if (!this.members.delete(member.id)) return;
    this.forget(member, reason);
    this.wake();
    this.distribute();
  }

  /** What a member has is worth nothing; it stays. */
  discard(member: Member, reason: string): void {
    for (const work of this.worksOf(member)) member.takeBack(work, reason);
    this.forget(member, reason);
    this.distribute();
  }

  /** Called every now and then: is somebody late, is somebody idle? */
  tick(): void {
    this.distribute();
  }

  async computeShards(tasks: readonly ShardTask[], signal?: AbortSignal): Promise<ShardReport[] | null> {
    const { step = 0 } = tasks[0] ?? {};
    const current: Step = {
      ledger: new StepLedger(
        step,
        tasks.map(({ shard }) => shard),
      ),
      tasks: new Map(tasks.map((task) => [task.shard, task])),
      meanSamples: Math.max(1, tasks.reduce((sum, { samples }) => sum + samples.length, 0) / tasks.length),
      done: Promise.withResolvers<boolean>(),
      sync: this.setup.sync
        ? new SyncStep(
            this.setup.host.layout,
            tasks.map(({ samples }) => samples.length),
          )
        : null,
      audience: new Set<Member>([this.local]),
    };
    this.local.begin(planOf(tasks), tasks[0]?.side ?? 0);
    const stop = (): void => {
      if (!decideGoingOn(this.nodeCount, this.ownThreads).go) current.done.resolve(false);
    };
    signal?.addEventListener('abort', stop);
    this.current = current;
    try {
      this.distribute();
      if (signal?.aborted) stop();
      const complete = await current.done.promise;
      this.covers = current.ledger.covers();
      return complete ? current.ledger.results() : null;
    } finally {
      signal?.removeEventListener('abort', stop);
      this.current = null;
      for (const work of current.ledger.works.values()) work.member.takeBack(work, 'the step is complete');
      for (const member of this.members.values()) member.record.stepOver();
      // A thread that still computes a shard that came from elsewhere must not write into the next step's slot.
      await this.local.settled();
    }
  }

  updateSlices(tasks: readonly SliceTask[]): Promise<SliceReport[]> {
    return this.own.updateSlices(tasks);
  }

  evaluate(tasks: readonly EvaluationTask[], onDone: () => void): Promise<EvaluationReport[]> {
    return this.own.evaluate(tasks, onDone);
  }

  close(): Promise<void> {
    return this.own.close();
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

  private worksOf(member: Member): Work[] {
    return [...(this.current?.ledger.works.values() ?? [])].filter((work) => work.member === member);
  }

  private forget(member: Member, reason: string): void {
    const lost = this.worksOf(member);
    for (const work of lost) this.current?.ledger.works.delete(work.id);
    const shards = shardsOf(lost.flatMap(({ subtrees }) => subtrees));
    if (shards.length > 0)
      this.decide(`shards ${shards.join(', ')} of ${member.name} go to others: ${reason}`);
  }

  private decide(reason: string): void {
    this.lastDecision = reason;
    this.setup.listen({ type: 'decision', step: (this.current?.ledger.step ?? 0) + 1, reason });
  }

  /** Gives out what nobody has, then looks for members without work. */
  private distribute(): void {
    const { current } = this;
    if (current === null || current.ledger.complete) return;
    const hands = this.present().filter(({ fit }) => fit);
    if (hands.length === 0) {
      const { reason } = decideGoingOn(0, 0);
      if (!this.toldWaiting) this.setup.listen({ type: 'waiting', step: current.ledger.step + 1, reason });
      this.toldWaiting = true;
      this.lastDecision = reason;
      return;
    }
    const free = current.ledger.free();
    if (free.length > 0) this.give(current, free, hands);
    if (this.setup.sync) return;
    for (const member of hands) {
      if (this.worksOf(member).length === 0) this.steal(current, member, hands);
    }
  }

  private handOf({ id, name, ranks, record }: Member, meanSamples: number): Hand {
    return { id, name, ranks, speed: Math.max(1e-6, record.imagesPerSecond / meanSamples) };
  }

  private give(current: Step, free: readonly number[], hands: readonly Member[]): void {
    const idle = hands.filter((member) => this.worksOf(member).length === 0);
    const takers = idle.length > 0 ? idle : hands;
    const { shares, reason } = apportion(
      free,
      takers.map((member) => this.handOf(member, current.meanSamples)),
    );
    this.lastDecision = reason;
    const given = shares.map(({ id, shards }) => {
      const member = this.members.get(id) as Member;
      this.assign(current, member, shards);
      return { node: id, name: member.name, shards: [...shards] };
    });
    this.setup.listen({ type: 'assigned', step: current.ledger.step + 1, members: given, reason });
  }

  private assign(current: Step, member: Member, shards: readonly number[]): void {
    const leaves = current.tasks.size;
    const subtrees = contiguousRuns(shards).flatMap((run) =>
      member.sums ? decompose(leaves, run) : shardsOf([run]).map((from) => ({ from, width: 1 })),
    );
    if (current.sync !== null && !current.audience.has(member)) {
      current.audience.add(member);
      for (const total of current.sync.totals) member.total(current.ledger.step, total);
    }
    const size = Math.ceil(subtrees.length / pieceLimit);
    const now = performance.now();
    member.record.started(now);
    this.contributors.add(member.name);
    for (let at = 0; at < subtrees.length; at += size) {
      const piece = subtrees.slice(at, at + size);
      const work: Work = {
        id: this.nextWork++,
        member,
        step: current.ledger.step,
        subtrees: piece,
        givenAt: now,
      };
      current.ledger.works.set(work.id, work);
      member.give(work, (shard) => current.tasks.get(shard)?.samples.length ?? 0);
    }
  }

  private steal(current: Step, idle: Member, hands: readonly Member[]): void {
    const { ledger } = current;
    const now = performance.now();
    const busy = hands
      .filter((member) => member !== idle)
      .map((member) => {
        const works = this.worksOf(member);
        const ages = works.map(({ givenAt }) => (now - givenAt) / 1000);
        return {
          ...this.handOf(member, current.meanSamples),
          work: works.map((work, i) => ({ id: work.id, shards: ledger.openShards(work), age: ages[i] ?? 0 })),
          since: Math.min(Math.max(0, ...ages), member.record.secondsSinceDelivery(now)),
        };
      });
    const theft = decideTheft(this.handOf(idle, current.meanSamples), busy);
    if (theft === null) return;
    const taken =
      theft.kind === 'copy' ? theft.shards : this.takeAway(current, theft.shards, theft.victim, theft.reason);
    if (taken.length === 0) return;
    this.lastDecision = theft.reason;
    const from = this.members.get(theft.victim)?.name ?? '';
    const { reason } = theft;
    this.setup.listen({
      type: 'stolen',
      step: ledger.step + 1,
      from,
      to: idle.name,
      shards: [...taken],
      reason,
    });
    this.assign(
      current,
      idle,
      taken.toSorted((a, b) => a - b),
    );
  }

  /** Takes shards back from a member; what else was in the same pieces it is given again. @returns what could be had */
  private takeAway(current: Step, shards: readonly number[], victim: number, reason: string): number[] {
    const { ledger } = current;
    const wanted = new Set(shards);
    const member = this.members.get(victim) as Member;
    const taken: number[] = [];
    const kept: number[] = [];
    for (const work of this.worksOf(member)) {
      const open = ledger.openShards(work);
      if (!open.some((shard) => wanted.has(shard)) || !member.takeBack(work, reason)) continue;
      ledger.works.delete(work.id);
      for (const shard of open) (wanted.has(shard) ? taken : kept).push(shard);
    }
    if (kept.length > 0)
      this.assign(
        current,
        member,
        kept.toSorted((a, b) => a - b),
      );
    return taken;
  }

  private deliver(delivery: Delivery): void {
    const { work, subtree } = delivery;
    const { from } = subtree;
    if (work.member !== this.local && this.local.isRunning(from) && this.isWanted(work)) {
      // A thread of ours writes into the very slot: it is stopped first, for its shard is here.
      void this.local.abandon(from).then(() => this.deliver(delivery));
      return;
    }
    this.settle(delivery);
    delivery.release();
  }

  private takePoint(work: Work, subtree: Subtree, point: number, values: Float64Array): void {
    const { current } = this;
    if (current === null || current.sync === null || !this.isWanted(work)) return;
    for (const total of current.sync.add(subtree, point, values)) {
      for (const member of current.audience) member.total(current.ledger.step, total);
    }
  }

  private isWanted(work: Work): boolean {
    return this.current !== null && this.current.ledger.works.get(work.id) === work;
  }

  private settle({ work, subtree, reports, store }: Delivery): void {
    const { current } = this;
    const { record } = work.member;
    if (current === null || !this.isWanted(work)) {
      record.late += subtree.width;
      return;
    }
    const { ledger } = current;
    if (ledger.count(subtree, reports)) {
      store();
      const now = performance.now();
      for (const { samples } of reports) record.delivered(samples, now);
    } else {
      record.late += subtree.width;
    }
    // Whoever else has these shards need not finish them.
    for (const other of ledger.works.values()) {
      if (ledger.openShards(other).length > 0) continue;
      ledger.works.delete(other.id);
      if (other !== work) other.member.takeBack(other, 'somebody else was faster');
    }
    if (ledger.complete) current.done.resolve(true);
    else if (this.worksOf(work.member).length === 0) this.distribute();
  }

  private fail(work: Work, cause: 'not-finite' | 'rank-lost' | 'other', reason: string): void {
    const { current } = this;
    if (current === null || !current.ledger.works.delete(work.id)) return;
    const step = current.ledger.step + 1;
    for (const shard of current.ledger.openShards(work)) {
      const { lost, notFinite } = current.ledger.failed(shard, cause === 'not-finite');
      const what = `shard ${shard} of step ${step}`;
      if (notFinite > 1) {
        return current.done.reject(
          new LockstepError(
            'STEP_NOT_FINITE',
            `Step ${step} cannot be committed: ${what} gave a gradient that is NaN or infinite, twice (${reason}).`,
            'Lower the learning rate or lengthen the warm-up, and go on from the last checkpoint.',
            { step, shard },
          ),
        );
      }
      if (lost >= attemptLimit) {
        return current.done.reject(
          new LockstepError(
            'RANK_FAILED',
            `${what} was lost ${lost} times, at last: ${reason}.`,
            'Resume from the last checkpoint, with fewer threads if memory is short.',
            { task: 'shard', shard, attempts: lost },
          ),
        );
      }
    }
    this.decide(`work of ${work.member.name} goes out again: ${reason}`);
    this.distribute();
  }
}

/** The plan of a step, as far as its tasks tell. */
function planOf(tasks: readonly ShardTask[]): StepPlan {
  const { step = 0, epoch = 0 } = tasks[0] ?? {};
  const shards = tasks.map(({ samples }) => samples);
  const samples = shards.reduce((sum, { length }) => sum + length, 0);
  return { step, epoch, stepInEpoch: 0, samples, shards, reason: 'all shards of the step' };
}
