/**
 * Who has which work of the step: gives out what nobody has, lets idle members take over from slow ones, takes back.
 * Deciders say what; this file carries it out and tells of it.
 */
import { decompose, shardCount, shardsOf } from '@lockstep/shared/protocol/subtree.ts';
import type { RunListener } from '../metrics/events.ts';
import { apportion, contiguousRuns, type Hand } from './apportion.ts';
import type { Member, Work } from './member.ts';
import { decideGoingOn } from './presence.ts';
import { decideTheft, type Outstanding } from './steal.ts';
import type { StepInProgress } from './step-in-progress.ts';

/** Most pieces that the shards of one member are given in. */
const pieceLimit = 64;

export class WorkDistribution {
  lastDecision = 'nothing has been decided yet';
  /** The step whose work is given out; null between steps. */
  current: StepInProgress | null = null;
  /** Processes that have ever been given work. */
  readonly contributors = new Set<string>();
  private readonly members: ReadonlyMap<number, Member>;
  private readonly sync: boolean;
  private readonly listen: RunListener;
  private nextWork = 1;
  private toldWaiting = false;

  /**
   * @param members everybody who may compute, now and later
   * @param sync all shards of a step advance together, so none is stolen
   */
  constructor(members: ReadonlyMap<number, Member>, sync: boolean, listen: RunListener) {
    this.members = members;
    this.sync = sync;
    this.listen = listen;
  }

  /** Of everything that is given out: nodes accept ascending numbers only. */
  nextId(): number {
    return this.nextWork++;
  }

  worksOf(member: Member): Work[] {
    return [...(this.current?.ledger.works.values() ?? [])].filter((work) => work.member === member);
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
    const lost = this.worksOf(member);
    for (const work of lost) this.current?.ledger.works.delete(work.id);
    const shards = lost.flatMap(({ subtrees }) => subtrees.flatMap(shardsOf));
    if (shards.length > 0)
      this.decide(`shards ${shards.join(', ')} of ${member.name} go to others: ${reason}`);
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

  private give(current: StepInProgress, free: readonly number[], hands: readonly Member[]): void {
    const idle = hands.filter((member) => this.worksOf(member).length === 0);
    const takers = idle.length > 0 ? idle : hands;
    const { shares, reason } = apportion(
      free,
      takers.map((member) => handOf(member, current.meanSamples)),
    );
    this.lastDecision = reason;
    const given = shares.map(({ id, shards }) => {
      const member = this.members.get(id) as Member;
      this.assign(current, member, shards);
      return { node: id, name: member.name, shards: [...shards] };
    });
    this.listen({ type: 'assigned', step: current.ledger.step + 1, members: given, reason });
  }

  private assign(current: StepInProgress, member: Member, shards: readonly number[]): void {
    const leaves = current.tasks.size;
    const subtrees = contiguousRuns(shards).flatMap((run) =>
      member.sums ? decompose(leaves, run) : shardsOf(run).map((from) => ({ from, width: 1 })),
    );
    if (current.sync !== null && !current.audience.has(member)) {
      current.audience.add(member);
      for (const total of current.sync.totals) member.total(current.ledger.step, total);
    }
    const size = Math.ceil(subtrees.length / pieceLimit);
    const now = performance.now();
    member.record.started(now);
    this.contributors.add(member.instance);
    let depth = this.worksOf(member).reduce((sum, work) => sum + current.ledger.openShards(work).length, 0);
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
    const now = performance.now();
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

function handOf({ id, name, ranks, record }: Member, meanSamples: number): Hand {
  const speed = Math.max(1e-6, record.imagesPerSecond / meanSamples);
  return { id, name, ranks, speed, trial: record.onTrial };
}

/** A piece of work as the decision sees it. @param open its shards that are not counted, in its order */
function outstandingOf(
  member: Member,
  work: Work,
  open: readonly number[],
  allowed: (shard: number) => boolean,
  age: number,
): Outstanding {
  const counted = shardCount(work.subtrees) - open.length;
  const begun = open.slice(0, Math.max(0, member.begunOf(work) - counted));
  const { id, depth } = work;
  return { id, shards: open.filter(allowed), begun: begun.filter(allowed).length, age, depth };
}

/** Shards that nobody has, by who may have them: not whoever failed with one, while somebody else is there. */
function freeWork(
  { ledger }: StepInProgress,
  hands: readonly Member[],
): { readonly shards: readonly number[]; readonly takers: readonly Member[] }[] {
  const fit = hands.map(({ id }) => id);
  const groups = new Map<string, { readonly shards: number[]; readonly takers: readonly Member[] }>();
  for (const shard of ledger.free()) {
    const { exclude } = ledger.decide(shard, fit);
    const key = exclude.join();
    const group = groups.get(key) ?? { shards: [], takers: hands.filter(({ id }) => !exclude.includes(id)) };
    group.shards.push(shard);
    groups.set(key, group);
  }
  return [...groups.values()];
}
