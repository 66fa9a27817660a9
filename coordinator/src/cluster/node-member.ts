/** A node as a member: assignments down, parts of gradients up, into memory of their own until they are whole. */
import type { ErrorCode } from '@lockstep/shared/base/errors.ts';
import { decodeFloats } from '@lockstep/shared/protocol/dtype.ts';
import { encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import type { NodeMessage, NodeToCoordinator } from '@lockstep/shared/protocol/messages.ts';
import { noteAssigned, noteHashAsked, noteRevoked } from '@lockstep/shared/protocol/node-guard.ts';
import { syncPointCount } from '@lockstep/shared/protocol/terms.ts';
import type { Store } from '@lockstep/worker/rank/store.ts';
import type { PointTotal } from '../reduce/sync-step.ts';
import type { Guest } from './front-desk.ts';
import type { Member, MemberEvents, Work } from './member.ts';
import { MemberRecord } from './member-record.ts';
import { decideDivergence } from './presence.ts';
import type { WeightsBroadcast } from './weights-broadcast.ts';

export interface NodeMemberSetup {
  readonly guest: Guest;
  readonly ranks: number;
  readonly store: Store;
  readonly weights: WeightsBroadcast;
  /** Staging memory that nobody uses now; shared by all nodes. */
  readonly spare: Float32Array[];
  readonly events: MemberEvents;
  /** The node's weights are not those of the run: what it has is worth nothing. */
  readonly onDiverged: (reason: string) => void;
  /** It may have work again. */
  readonly onFit: () => void;
}

export class NodeMember implements Member {
  readonly id: number;
  readonly name: string;
  readonly ranks: number;
  readonly record: MemberRecord;
  readonly guest: Guest;
  readonly sums = true;
  fit = true;
  heartbeat: NodeMessage<'heartbeat'> | null = null;
  /** Step at which it joined. */
  readonly joinedStep: number;
  private readonly setup: NodeMemberSetup;
  private readonly works = new Map<number, Work>();
  /** Sums that are coming in, by assignment and subtree. */
  private readonly staging = new Map<string, Float32Array>();
  /** Subtrees that have come, by assignment. */
  private readonly finished = new Map<number, number>();
  private readonly expected = new Map<number, string>();
  private divergences = 0;

  constructor(setup: NodeMemberSetup, guess: number | null) {
    this.setup = setup;
    this.guest = setup.guest;
    this.id = setup.guest.id;
    this.name = setup.guest.hello.name;
    this.ranks = setup.ranks;
    this.joinedStep = setup.weights.step;
    this.record = new MemberRecord(setup.ranks, guess);
  }

  /** Sends the newest weights; older ones that still wait are not sent any more. */
  sendWeights(): void {
    const { weights } = this.setup;
    this.post(weights.frames(), weights.hashed);
  }

  give(work: Work, samplesOf: (shard: number) => number): void {
    const { link } = this.guest;
    const { id: assignment, step } = work;
    this.works.set(work.id, work);
    const subtrees = [...work.subtrees];
    link.guard = noteAssigned(link.guard, { assignment, step, subtrees }, samplesOf);
    link.send({ type: 'assign', assignment, step, subtrees });
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
      case 'sync-part':
        return this.takePoint(message, payload);
      case 'failed': {
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
    for (const buffer of this.staging.values()) this.setup.spare.push(buffer);
    this.staging.clear();
    this.works.clear();
  }

  private drop(code: ErrorCode, reason: string): void {
    this.guest.link.drop(code, reason);
  }

  private post(frames: readonly Uint8Array[], hashed: boolean): void {
    const { link } = this.guest;
    const { weights } = this.setup;
    link.outbox.takeBack('weights');
    if (hashed) {
      link.guard = noteHashAsked(link.guard, weights.step);
      this.expected.set(weights.step, weights.sha256);
    }
    for (const frame of frames) link.push('weights', frame);
  }

  private takePart(
    { assignment, subtree, from, to, dtype }: NodeMessage<'gradient-part'>,
    payload: Uint8Array,
  ): void {
    if (!this.works.has(assignment)) return;
    const key = `${assignment} ${subtree}`;
    const { spare, store } = this.setup;
    const buffer = this.staging.get(key) ?? spare.pop() ?? new Float32Array(store.layout.parameterCount);
    this.staging.set(key, buffer);
    const notFinite = decodeFloats(payload, dtype, buffer.subarray(from, to));
    if (notFinite > 0) this.drop('GRADIENT_INVALID', `${notFinite} floats of a gradient are NaN or infinite`);
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
    const key = `${assignment} ${index}`;
    const buffer = this.staging.get(key);
    const subtree = work?.subtrees[index];
    if (work === undefined || buffer === undefined || subtree === undefined) return;
    const moments = new Float64Array(payload.buffer, payload.byteOffset, payload.byteLength / 8);
    const wrong = momentsTrouble(moments) ?? lossTrouble(message);
    if (wrong !== null) return this.drop('GRADIENT_INVALID', wrong);
    this.staging.delete(key);
    const reports = message.shards.map((report) => ({ kind: 'shard' as const, ...report }));
    const { store, spare } = this.setup;
    const last = isLast(work, this.finished);
    if (last) this.works.delete(assignment);
    this.setup.events.onDelivery({
      work,
      subtree,
      reports,
      store: () => {
        store.slot(subtree.from).set(buffer);
        if (moments.length > 0) store.moments(subtree.from).set(moments);
      },
      release: () => void spare.push(buffer),
    });
  }

  private release({ id, subtrees }: Work): void {
    for (const index of subtrees.keys()) {
      const buffer = this.staging.get(`${id} ${index}`);
      if (buffer !== undefined) this.setup.spare.push(buffer);
      this.staging.delete(`${id} ${index}`);
    }
    this.finished.delete(id);
  }

  private judgeHash({ step, sha256 }: NodeMessage<'weights-hash'>): void {
    const expected = this.expected.get(step);
    this.expected.delete(step);
    if (expected === undefined) return;
    const decision = decideDivergence(expected === sha256, this.divergences);
    if (decision.kind === 'fine') {
      if (this.fit) return;
      this.fit = true;
      return this.setup.onFit();
    }
    this.divergences += 1;
    if (decision.kind === 'drop') return this.drop('WEIGHTS_DIVERGED', decision.reason);
    this.fit = false;
    const { weights } = this.setup;
    this.setup.onDiverged(decision.reason);
    this.guest.link.outbox.takeBack('weights');
    this.guest.link.push(
      'message',
      encodeFrame({ type: 'resynchronise', step: weights.step, reason: decision.reason }),
    );
    this.post(weights.framesToProve(), true);
  }
}

/** Counts the finished subtrees of a piece of work. */
function isLast({ id, subtrees }: Work, finished: Map<number, number>): boolean {
  const count = (finished.get(id) ?? 0) + 1;
  if (count === subtrees.length) finished.delete(id);
  else finished.set(id, count);
  return count === subtrees.length;
}

function momentsTrouble(moments: Float64Array): string | null {
  for (const [i, value] of moments.entries()) {
    if (!Number.isFinite(value)) return 'moments that are NaN or infinite';
    if (i % 2 === 1 && value < 0) return 'a negative sum of squares among the moments';
  }
  return null;
}

function lossTrouble({ shards }: NodeMessage<'subtree-done'>): string | null {
  const wrong = shards.find(({ lossSum }) => !Number.isFinite(lossSum));
  return wrong === undefined ? null : `the loss of shard ${wrong.shard} is ${wrong.lossSum}`;
}
