/**
 * Who has which work of the step: gives out what nobody has, lets idle members take over from slow ones, takes back.
 * Deciders say what; this file carries it out and tells of it.
 */
import { decompose, shardCount, shardsOf } from '@lockstep/shared/protocol/subtree.ts';
import type { RunListener } from '../metrics/events.ts';
import type { ShardTask } from '@lockstep/worker/rank/tasks.ts';
import { apportion, contiguousRuns } from './apportion.ts';
import type { Member, Work } from './member.ts';
import { freeWork, handOf, outstandingOf, worksIn } from './outstanding-work.ts';
import { decideGoingOn } from './presence.ts';
import { decideTheft } from './steal.ts';
import type { StepGround, StepInProgress } from './step-in-progress.ts';
import { WorkAhead } from './work-ahead.ts';

/** Most pieces that the shards of one member are given in. */
const pieceLimit = 64;

export class WorkDistribution {
  lastDecision = 'nothing has been decided yet';
  /** The step whose work is given out; null between steps. */
  current: StepInProgress | null = null;
  /** The step after it, as soon as somebody has work of it. */
  ahead: WorkAhead | null = null;
  /** Processes that have ever been given work. */
  readonly contributors = new Set<string>();
  private readonly members: ReadonlyMap<number, Member>;
  private readonly sync: boolean;
  private readonly listen: RunListener;
  /** Milliseconds; see `WakingClock`. */
  readonly now: () => number;
  private nextWork = 1;
  private toldWaiting = false;

  /**
   * @param members everybody who may compute, now and later
   * @param sync all shards of a step advance together, so none is stolen
   * @param now milliseconds of a clock that stands while this process does
   */
  constructor(members: ReadonlyMap<number, Member>, sync: boolean, listen: RunListener, now: () => number) {
    this.members = members;
    this.sync = sync;
    this.listen = listen;
    this.now = now;
  }

  /** Of everything that is given out: nodes accept ascending numbers only. */
  nextId(): number {
    return this.nextWork++;
  }

  /** What a member has of the current step. */
  worksOf(member: Member): Work[] {
    return worksIn(this.current, member);
  }

  /** What it has, the next step's included. */
  allWorksOf(member: Member): Work[] {
    return [...this.worksOf(member), ...worksIn(this.ahead?.ground ?? null, member)];
  }

  /** Members that work may be given to. */
  hands(): Member[] {
    return [...this.members.values()].filter(({ fit }) => fit);
  }

  isWanted(work: Work): boolean {
    return this.current !== null && this.current.ledger.works.get(work.id) === work;
  }

  /** Somebody has come: the next time that nobody is there is news again. */
  joined(): void {
    this.toldWaiting = false;
  }

  /** What a member has will not come. */
  forget(member: Member, reason: string): void {
    for (const ground of [this.current, this.ahead?.ground ?? null]) {
      const lost = worksIn(ground, member);
      for (const { id } of lost) ground?.ledger.works.delete(id);
      const shards = lost.flatMap(({ subtrees }) => subtrees.flatMap(shardsOf)).join(', ');
      if (shards === '') continue;
      // What came of the next step already does not count.
      const when = ground === this.current ? '' : ', of the next step, when that begins';
      this.decide(`shards ${shards} of ${member.name} go to others${when}: ${reason}`);
    }
  }

  decide(reason: string): void {
    this.lastDecision = reason;
    this.listen({ type: 'decision', step: (this.current?.ledger.step ?? 0) + 1, reason });
  }

  /** Gives out what nobody has, then looks for members without work. */
  distribute(): void {
    const { current } = this;
    if (current === null || current.ledger.complete) return;
    const hands = this.hands();
    if (hands.length === 0) {
      const { reason } = decideGoingOn(0, 0);
      if (!this.toldWaiting) this.listen({ type: 'waiting', step: current.ledger.step + 1, reason });
      this.toldWaiting = true;
      this.lastDecision = reason;
      return;
    }
    for (const { shards, takers } of freeWork(current, hands)) this.give(current, shards, takers);
    if (this.sync) return;
    for (const member of hands) {
      if (this.worksOf(member).length === 0) this.steal(current, member, hands);
    }
  }

  /**
   * Gives out the next step as far as there are members who may have work of two; the rest waits until it begins. The
   * first time for a step counts.
   */
  giveAhead(tasks: readonly ShardTask[]): void {
    const hands = this.hands();
    if (this.ahead !== null || this.sync || !hands.some(({ looksAhead }) => looksAhead === true)) return;
    this.ahead = new WorkAhead(tasks);
    const { ground } = this.ahead;
    this.share(ground, ground.ledger.free(), hands, ({ looksAhead }) => looksAhead === true);
  }

  /** A step begins. @returns what members have of it already, or null */
  takeAhead(step: number): WorkAhead | null {
    const { ahead } = this;
    if (ahead !== null && ahead.step !== step) this.withdrawAhead('another step has begun');
    this.ahead = null;
    return ahead?.step === step ? ahead : null;
  }

  /** No step begins for now. */
  withdrawAhead(reason: string): void {
    this.ahead?.withdraw(reason);
    this.ahead = null;
  }

  private give(current: StepInProgress, free: readonly number[], hands: readonly Member[]): void {
    const idle = hands.filter((member) => this.worksOf(member).length === 0);
    this.share(current, free, idle.length > 0 ? idle : hands, () => true);
  }

  /** @param now whether a member gets its share at once; what others would get stays free */
  private share(
    ground: StepGround,
    free: readonly number[],
    takers: readonly Member[],
    now: (member: Member) => boolean,
  ): void {
    const { shares, reason } = apportion(
      free,
      takers.map((member) => handOf(member, ground.meanSamples)),
    );
    this.lastDecision = reason;
    const given = shares.flatMap(({ id, shards }) => {
      const member = this.members.get(id) as Member;
      if (!now(member)) return [];
      this.assign(ground, member, shards);
      return [{ node: id, name: member.name, shards: [...shards] }];
    });
    this.listen({ type: 'assigned', step: ground.ledger.step + 1, members: given, reason });
  }

  private assign(current: StepGround, member: Member, shards: readonly number[]): void {
    const leaves = current.tasks.size;
    const subtrees = contiguousRuns(shards).flatMap((run) =>
      member.sums ? decompose(leaves, run) : shardsOf(run).map((from) => ({ from, width: 1 })),
    );
    if (current.sync !== null && !current.audience.has(member)) {
      current.audience.add(member);
      for (const total of current.sync.totals) member.total(current.ledger.step, total);
    }
    const size = Math.ceil(subtrees.length / pieceLimit);
    const now = this.now();
    if (current === this.current) member.record.started(now);
    this.contributors.add(member.instance);
    let depth = worksIn(current, member).reduce(
      (sum, work) => sum + current.ledger.openShards(work).length,
      0,
    );
    for (let at = 0; at < subtrees.length; at += size) {
      const piece = subtrees.slice(at, at + size);
      depth += shardCount(piece);
      const work: Work = {
        id: this.nextId(),
        member,
        step: current.ledger.step,
        subtrees: piece,
        givenAt: now,
        depth,
      };
      current.ledger.works.set(work.id, work);
      member.give(work, (shard) => current.tasks.get(shard)?.samples.length ?? 0);
    }
  }

  private steal(current: StepInProgress, idle: Member, hands: readonly Member[]): void {
    const { ledger } = current;
    const now = this.now();
    const fit = hands.map(({ id }) => id);
    // What it has failed with is not there for it; that it then counts as less work only makes it take less.
    const allowed = (shard: number): boolean => !ledger.decide(shard, fit).exclude.includes(idle.id);
    const busy = hands
      .filter((member) => member !== idle)
      .map((member) => {
        const works = this.worksOf(member);
        const ages = works.map(({ givenAt }) => (now - givenAt) / 1000);
        return {
          ...handOf(member, current.meanSamples),
          work: works
            .map((work, i) => outstandingOf(member, work, ledger.openShards(work), allowed, ages[i] ?? 0))
            .filter(({ shards }) => shards.length > 0),
          since: Math.min(Math.max(0, ...ages), member.record.secondsSinceMove(now)),
        };
      });
    const theft = decideTheft(handOf(idle, current.meanSamples), busy);
    if (theft === null) return;
    // As far as is known it has shards that it has not begun; how it is now, it is asked first.
    if (theft.kind === 'steal' && !this.isSure(theft.victim, now)) return;
    const taken =
      theft.kind === 'copy' ? theft.shards : this.takeAway(current, theft.shards, theft.victim, theft.reason);
    if (taken.length === 0) return;
    this.lastDecision = theft.reason;
    const from = this.members.get(theft.victim)?.name ?? '';
    const { reason } = theft;
    this.listen({
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

  /** Whether it is known how far a member is with all that it has. */
  private isSure(id: number, now: number): boolean {
    const member = this.members.get(id) as Member;
    // All of it is asked for at once: `every` would stop at the first answer that is missing.
    return !this.worksOf(member)
      .map((work) => member.ask?.(work, now) ?? true)
      .includes(false);
  }

  /** Takes shards back from a member; what else was in the same pieces it is given again. @returns what could be had */
  private takeAway(
    current: StepInProgress,
    shards: readonly number[],
    victim: number,
    reason: string,
  ): number[] {
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
}
