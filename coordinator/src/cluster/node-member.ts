/** A node as a member: assignments down, parts of gradients up, into memory of their own until they are whole. */
import type { ErrorCode } from '@lockstep/shared/base/errors.ts';
import type { NodeMessage, NodeToCoordinator } from '@lockstep/shared/protocol/messages.ts';
import { noteAsked, noteAssigned, noteRevoked } from '@lockstep/shared/protocol/node-guard.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { shardCount } from '@lockstep/shared/protocol/subtree.ts';
import { syncPointCount } from '@lockstep/shared/protocol/terms.ts';
import type { Store } from '@lockstep/worker/rank/store.ts';
import type { PointTotal } from '../reduce/sync-step.ts';
import type { Guest } from './front-desk.ts';
import type { InboxPool } from './inbox-pool.ts';
import { IncomingSums } from './incoming-sums.ts';
import type { Member, MemberEvents, Work } from './member.ts';
import { MemberRecord } from './member-record.ts';
import { NodeEvaluations } from './node-evaluations.ts';
import { NodeWeights } from './node-weights.ts';
import { decideDivergence } from './presence.ts';
import { Traffic } from './traffic.ts';
import type { WeightsBroadcast, WeightsFrame } from './weights-broadcast.ts';
import { WorkProgress } from './work-progress.ts';

export interface NodeMemberSetup {
  readonly guest: Guest;
  readonly ranks: number;
  readonly store: Store;
  readonly dataset: Dataset;
  readonly weights: WeightsBroadcast;
  /** Shared by all nodes. */
  readonly inboxes: InboxPool;
  readonly events: MemberEvents;
  /** Milliseconds of the `WakingClock`. */
  readonly now: () => number;
  /** The node's weights are not those of the run: what it has is worth nothing. */
  readonly onDiverged: (reason: string) => void;
  /** It may have work again. */
  readonly onFit: () => void;
}

export class NodeMember implements Member {
  readonly id: number;
  readonly name: string;
  readonly instance: string;
  readonly ranks: number;
  readonly record: MemberRecord;
  readonly guest: Guest;
  readonly evaluator: NodeEvaluations;
  readonly sums = true;
  readonly looksAhead = true;
  fit = true;
  heartbeat: NodeMessage<'heartbeat'> | null = null;
  readonly traffic = new Traffic();
  private readonly setup: NodeMemberSetup;
  private readonly works = new Map<number, Work>();
  private readonly incoming: IncomingSums;
  private readonly weights: NodeWeights;
  private readonly progress = new WorkProgress();
  private divergences = 0;

  constructor(setup: NodeMemberSetup, guess: number | null) {
    this.setup = setup;
    this.guest = setup.guest;
    this.id = setup.guest.id;
    this.name = setup.guest.name;
    this.instance = setup.guest.hello.instance;
    const { link } = setup.guest;
    this.weights = new NodeWeights(link, setup.weights);
    this.evaluator = new NodeEvaluations(link, setup.weights, setup.dataset, () =>
      this.weights.sendStatistics(),
    );
    this.incoming = new IncomingSums(setup.inboxes, setup.events);
    this.ranks = setup.ranks;
    this.record = new MemberRecord(setup.ranks, guess);
  }

  /** Sends the newest weights. */
  sendWeights(): void {
    const { outbox, bytesReceived } = this.guest.link;
    this.traffic.stepBegins(this.setup.weights.step, outbox.bytesSent, bytesReceived);
    this.weights.send();
  }

  /** Sends a piece of the weights of the step to come. */
  sendAhead(frame: WeightsFrame): void {
    // While it has the wrong weights it gets no others than those it has to prove.
    if (this.fit) this.weights.sendAhead(frame);
  }

  give(work: Work, samplesOf: (shard: number) => number): void {
    const { link } = this.guest;
    const { id: assignment, step } = work;
    this.works.set(work.id, work);
    const subtrees = [...work.subtrees];
    link.guard = noteAssigned(link.guard, { assignment, step, subtrees }, samplesOf);
    link.send({ type: 'assign', assignment, step, subtrees });
  }

  begunOf({ id }: Work): number {
    return this.progress.begunOf(id);
  }

  ask({ id: assignment, subtrees }: Work, now: number): boolean {
    const asking = this.progress.asking(assignment, shardCount(subtrees), now);
    if (asking !== 'ask') return asking === 'known';
    const { link } = this.guest;
    this.progress.asked(assignment, now);
    link.guard = noteAsked(link.guard, assignment);
    link.send({ type: 'progress-request', assignment });
    return false;
  }

  takeBack(work: Work, reason: string): boolean {
    if (!this.works.delete(work.id)) return false;
    const { link } = this.guest;
    this.release(work);
    link.guard = noteRevoked(link.guard, work.id);
    link.send({ type: 'revoke', assignment: work.id, reason });
    return true;
  }

  total(step: number, { point, values }: PointTotal): void {
    this.guest.link.send({ type: 'sync-total', step, point }, values);
  }

  /** A message that passed the guard. */
  take(message: NodeToCoordinator, payload: Uint8Array): void {
    switch (message.type) {
      case 'gradient-part':
        return this.takePart(message, payload);
      case 'subtree-done':
        return this.finish(message, payload);
      case 'progress':
        return this.takeProgress(message);
      case 'sync-part':
        return this.takePoint(message, payload);
      case 'evaluation-done':
        return this.evaluator.take(message, payload);
      case 'failed': {
        if (this.evaluator.fail(message.assignment, message.reason)) return;
        const work = this.works.get(message.assignment);
        if (work === undefined) return;
        this.works.delete(message.assignment);
        this.release(work);
        return this.setup.events.onFailure(work, message.cause, message.reason);
      }
      case 'weights-hash':
        return this.judgeHash(message);
      case 'heartbeat': {
        this.heartbeat = message;
        this.record.computeSeconds = message.computeSeconds;
        this.record.waitSeconds = message.waitSeconds;
        this.record.wireSeconds = message.sendSeconds;
        return this.guest.link.send({ type: 'heartbeat', echo: message.sentAt });
      }
      default:
    }
  }

  /** It is gone: its memory goes back. */
  dispose(): void {
    for (const work of this.works.values()) this.release(work);
    this.works.clear();
    this.evaluator.clear();
  }

  private drop(code: ErrorCode, reason: string): void {
    this.guest.link.drop(code, reason);
  }

  private takePart(message: NodeMessage<'gradient-part'>, payload: Uint8Array): void {
    const work = this.works.get(message.assignment);
    if (work === undefined) return;
    const notFinite = this.incoming.take(work, message, payload);
    this.progress.seen(work.id, shardCount(work.subtrees.slice(0, message.subtree + 1)));
    if (notFinite > 0) this.drop('GRADIENT_INVALID', `${notFinite} floats of a gradient are NaN or infinite`);
  }

  private takeProgress({ assignment, begun, seconds }: NodeMessage<'progress'>): void {
    if (!this.works.has(assignment)) return;
    const now = this.setup.now();
    this.progress.answered(assignment, begun, now);
    if (begun > 0) this.record.progressed(now - 1000 * seconds);
    this.setup.events.onProgress();
  }

  private takePoint({ assignment, subtree, point }: NodeMessage<'sync-part'>, payload: Uint8Array): void {
    const work = this.works.get(assignment);
    const tree = work?.subtrees[subtree];
    if (work === undefined || tree === undefined) return;
    const values = new Float64Array(payload.buffer, payload.byteOffset, payload.byteLength / 8);
    if (!values.every((value) => Number.isFinite(value))) {
      return this.drop('GRADIENT_INVALID', `batch-norm sums of point ${point} are NaN or infinite`);
    }
    const { terms } = this.guest.link.guard;
    // Forward it is moments that come: a negative variance would make every other member's gradients NaN.
    const wrong = terms !== null && 2 * point < syncPointCount(terms) ? momentsTrouble(values) : null;
    if (wrong !== null) return this.drop('GRADIENT_INVALID', wrong);
    this.setup.events.onPoint(work, tree, point, values);
  }

  private finish(message: NodeMessage<'subtree-done'>, payload: Uint8Array): void {
    const { assignment, subtree: index } = message;
    const work = this.works.get(assignment);
    const subtree = work?.subtrees[index];
    if (work === undefined || subtree === undefined) return;
    const moments = new Float64Array(payload.buffer, payload.byteOffset, payload.byteLength / 8);
    const wrong = momentsTrouble(moments) ?? lossTrouble(message);
    if (wrong !== null) return this.drop('GRADIENT_INVALID', wrong);
    const whole = this.incoming.finish(work, index);
    if (whole === null) return;
    const { inbox, isLast } = whole;
    const reports = message.shards.map((report) => ({ kind: 'shard' as const, ...report }));
    const { store, inboxes } = this.setup;
    if (isLast) {
      this.works.delete(assignment);
      this.progress.forget(assignment);
    }
    this.setup.events.onDelivery({
      work,
      sum: { ...subtree, slot: inbox.slot ?? subtree.from },
      reports,
      store: () => {
        if (inbox.slot === null) store.slot(subtree.from).set(inbox.floats);
        if (moments.length > 0) store.moments(subtree.from).set(moments);
      },
      release: () => inboxes.release(inbox),
    });
  }

  private release(work: Work): void {
    this.incoming.abandon(work);
    this.progress.forget(work.id);
  }

  private judgeHash({ step, sha256 }: NodeMessage<'weights-hash'>): void {
    const isRight = this.weights.judge(step, sha256);
    if (isRight === null) return;
    const decision = decideDivergence(isRight, this.divergences);
    if (decision.kind === 'fine') {
      if (this.fit) return;
      this.fit = true;
      return this.setup.onFit();
    }
    this.divergences += 1;
    if (decision.kind === 'drop') return this.drop('WEIGHTS_DIVERGED', decision.reason);
    this.fit = false;
    this.setup.onDiverged(decision.reason);
    this.weights.sendAgain(decision.reason);
  }
}

function momentsTrouble(moments: Float64Array): string | null {
  // Of ResNet-20 1,376 values: an iterator would make a pair for each, while all ranks wait.
  for (let i = 0; i < moments.length; i++) {
    const value = moments[i] as number;
    if (!Number.isFinite(value)) return 'moments that are NaN or infinite';
    if (i % 2 === 1 && value < 0) return 'a negative sum of squares among the moments';
  }
  return null;
}

function lossTrouble({ shards }: NodeMessage<'subtree-done'>): string | null {
  const wrong = shards.find(({ lossSum }) => !Number.isFinite(lossSum));
  return wrong === undefined ? null : `the loss of shard ${wrong.shard} is ${wrong.lossSum}`;
}
