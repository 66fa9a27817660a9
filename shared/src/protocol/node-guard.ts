/**
 * Judges what a node sends: the coordinator's side of one connection, as a pure state machine. The state is a
 * value, time is an argument. Whoever owns the socket tells it what was sent (`note...`), asks about what came.
 */
import { advanceWork, shardWork, type Work, type WorkMessage } from './assignment-progress.ts';
import { type Bucket, takeToken } from './flood.ts';
import { largestFrameBytes, type Limits } from './limits.ts';
import type { NodeMessage, NodeToCoordinator, Subtree } from './messages.ts';
import { chunkLength, type Terms } from './terms.ts';
import { accept, type Drop, drop, type Verdict } from './verdict.ts';

/** hello: nothing has come. deciding: the hello is being judged. left: said goodbye. */
export type NodePhase = 'hello' | 'deciding' | 'joined' | 'ready' | 'left';

export interface NodeGuard {
  readonly phase: NodePhase;
  readonly limits: Limits;
  /** Milliseconds of the caller's clock: opened, and the last frame that was not dropped. */
  readonly openedAt: number;
  readonly heardAt: number;
  readonly bucket: Bucket;
  /** Set by the welcome. */
  readonly terms: Terms | null;
  readonly chunksInFlight: number;
  /** Data that the node may still ask for. */
  readonly dataBytesLeft: number;
  readonly assignments: ReadonlyMap<number, Work>;
  /** Steps whose weights-hash was asked for. */
  readonly hashSteps: readonly number[];
}

export interface NodeJudgement {
  readonly guard: NodeGuard;
  readonly verdict: Verdict;
}

/** A connection was opened. */
export function openNodeGuard(limits: Limits, now: number): NodeGuard {
  return {
    phase: 'hello',
    limits,
    openedAt: now,
    heardAt: now,
    bucket: { tokens: limits.unaskedBurst, at: now },
    terms: null,
    chunksInFlight: 0,
    dataBytesLeft: 0,
    assignments: new Map(),
    hashSteps: [],
  };
}

/** Bytes of the largest frame that may come now: a stranger's are tiny. */
export function admittedFrameBytes({ phase, limits }: NodeGuard): number {
  return phase === 'hello' || phase === 'deciding' ? limits.helloFrameBytes : largestFrameBytes(limits);
}

/** The welcome was sent. */
export function noteWelcomed(guard: NodeGuard, terms: Terms): NodeGuard {
  const { train, test } = terms.splits;
  const dataBytesLeft = guard.limits.dataPasses * (train.bytes + test.bytes);
  return { ...guard, phase: 'joined', terms, dataBytesLeft };
}

/** An `assign` was sent. @param samplesOf samples of each shard of the step, from its plan */
export function noteAssigned(
  guard: NodeGuard,
  sent: Readonly<{ assignment: number; step: number; subtrees: readonly Subtree[] }>,
  samplesOf: (shard: number) => number,
): NodeGuard {
  return withWork(guard, sent.assignment, shardWork(sent.step, sent.subtrees, samplesOf));
}

/** An `evaluate` was sent. */
export function noteEvaluating(
  guard: NodeGuard,
  sent: Readonly<{ assignment: number; step: number; count: number }>,
): NodeGuard {
  const { step, count } = sent;
  return withWork(guard, sent.assignment, { kind: 'evaluation', step, count, state: 'open' });
}

/** A `progress-request` was sent for open work. */
export function noteAsked(guard: NodeGuard, assignment: number): NodeGuard {
  const work = guard.assignments.get(assignment);
  return work?.kind === 'shards' ? withWork(guard, assignment, { ...work, asked: true }) : guard;
}

/**
 * A `revoke` was sent, which is for open work only: what still comes for it is ignored, until the node's
 * `released`.
 */
export function noteRevoked(guard: NodeGuard, assignment: number): NodeGuard {
  const work = guard.assignments.get(assignment);
  return work?.state === 'open' ? withWork(guard, assignment, { ...work, state: 'revoked' }) : guard;
}

/** A sign of life without a whole frame: bytes came, or this side itself was paused and could not listen. */
export function noteNodeAlive(guard: NodeGuard, now: number): NodeGuard {
  return { ...guard, heardAt: Math.max(guard.heardAt, now) };
}

/** A `data-chunk` was sent. */
export function noteChunkSent(guard: NodeGuard): NodeGuard {
  return { ...guard, chunksInFlight: guard.chunksInFlight - 1 };
}

/** Weights were sent with `hash`. */
export function noteHashAsked(guard: NodeGuard, step: number): NodeGuard {
  return guard.hashSteps.includes(step) ? guard : { ...guard, hashSteps: [...guard.hashSteps, step] };
}

/** Has the node kept the times? Asked every now and then. */
export function judgeNodeTime(guard: NodeGuard, now: number): Drop | null {
  const { phase, limits, openedAt, heardAt } = guard;
  if (phase === 'hello') {
    if (now - openedAt <= limits.helloTimeout) return null;
    return drop('HANDSHAKE_TIMEOUT', `no hello within ${limits.helloTimeout} ms`);
  }
  if (phase === 'left' || now - heardAt <= limits.silence) return null;
  return drop(
    'HEARTBEAT_LOST',
    `nothing heard for ${Math.round(now - heardAt)} ms; the limit is ${limits.silence}`,
  );
}

/** Judges one message that has passed its schema. */
export function judgeNodeMessage(
  guard: NodeGuard,
  message: NodeToCoordinator,
  payloadBytes: number,
  now: number,
): NodeJudgement {
  const judged = judge(guard, message, payloadBytes, now);
  if (judged.verdict.kind === 'drop') return { guard, verdict: judged.verdict };
  return { guard: { ...judged.guard, heardAt: now }, verdict: judged.verdict };
}

function judge(
  guard: NodeGuard,
  message: NodeToCoordinator,
  payloadBytes: number,
  now: number,
): NodeJudgement {
  const { phase, terms } = guard;
  const refuse = (verdict: Drop): NodeJudgement => ({ guard, verdict });
  const unexpected = (why: string): NodeJudgement =>
    refuse(drop('MESSAGE_UNEXPECTED', `message '${message.type}' ${why}`));
  if (phase === 'hello') {
    if (message.type !== 'hello') return unexpected('before a hello');
    if (payloadBytes > 0) return refuse(drop('MESSAGE_INVALID', 'a hello with a payload'));
    return { guard: { ...guard, phase: 'deciding' }, verdict: accept('the node says hello') };
  }
  if (message.type === 'hello') return unexpected('a second time');
  if (terms === null) return unexpected('before the welcome');
  if (phase === 'left') return unexpected('after leaving');

  // What was asked for is bounded by the asking: each answer comes once. So it costs no token.
  switch (message.type) {
    case 'gradient-part':
    case 'subtree-done':
    case 'sync-part':
    case 'evaluation-done':
    case 'progress':
    case 'failed':
    case 'released':
      return judgeWork(guard, message, payloadBytes, terms);
    case 'data-request':
      return judgeDataRequest(guard, message, payloadBytes, terms);
    case 'weights-hash': {
      if (!guard.hashSteps.includes(message.step))
        return unexpected(`of step ${message.step}, not asked for`);
      if (payloadBytes > 0) return refuse(drop('MESSAGE_INVALID', 'a hash with a payload'));
      const hashSteps = guard.hashSteps.filter((step) => step !== message.step);
      return { guard: { ...guard, hashSteps }, verdict: accept(`hash of step ${message.step}`) };
    }
    default:
  }

  const { unaskedPerSecond, unaskedBurst } = guard.limits;
  const bucket = takeToken(guard.bucket, unaskedPerSecond, unaskedBurst, now);
  if (bucket === null) return refuse(drop('FLOOD', `more than ${unaskedPerSecond} messages a second`));
  if (payloadBytes > 0) return refuse(drop('MESSAGE_INVALID', `message '${message.type}' with a payload`));
  const counted: NodeGuard = { ...guard, bucket };
  switch (message.type) {
    case 'ready': {
      if (phase === 'ready') return unexpected('a second time');
      const { train, test } = terms.splits;
      if (message.dataset.train !== train.sha256 || message.dataset.test !== test.sha256) {
        return refuse(drop('MESSAGE_INVALID', "the node's data set is not the run's"));
      }
      return { guard: { ...counted, phase: 'ready' }, verdict: accept('the node is ready') };
    }
    case 'leaving':
      return {
        guard: { ...counted, phase: 'left', assignments: new Map() },
        verdict: accept(`the node leaves: ${message.reason}`),
      };
    case 'heartbeat':
      return { guard: counted, verdict: accept('heartbeat') };
  }
}

/** Messages about an assignment: its work advances, ends, or was revoked and is ignored. */
function judgeWork(
  guard: NodeGuard,
  message: WorkMessage | NodeMessage<'failed' | 'released'>,
  payloadBytes: number,
  terms: Terms,
): NodeJudgement {
  const { assignment, type } = message;
  const refuse = (verdict: Drop): NodeJudgement => ({ guard, verdict });
  const unexpected = (why: string): NodeJudgement =>
    refuse(drop('MESSAGE_UNEXPECTED', `message '${type}' for assignment ${assignment}, ${why}`));
  const work = guard.assignments.get(assignment);
  if (work === undefined) return unexpected('which is not open here');
  const revoked = work.state !== 'open';
  let after: Work | null;
  let reason: string;
  if (type === 'failed' || type === 'released') {
    if (payloadBytes > 0) return refuse(drop('MESSAGE_INVALID', `message '${type}' with a payload`));
    if (type === 'released' && !revoked) return unexpected('which was not revoked');
    if (type === 'failed' && work.state === 'closed') return unexpected('which had ended before');
    after = null;
    reason = type === 'failed' ? `failed (${message.cause}): ${message.reason}` : 'released';
  } else {
    const progress = advanceWork(work, message, payloadBytes, terms, guard.limits);
    if (progress.verdict.kind === 'drop') return refuse(progress.verdict);
    after = progress.work;
    reason = progress.verdict.reason;
  }
  if (!revoked || type === 'released') {
    return { guard: withWork(guard, assignment, after), verdict: accept(reason) };
  }
  // Revoked work stays until it is released, so that whatever is on its way still finds it.
  const kept = after ?? { ...work, state: 'closed' };
  const verdict: Verdict = { kind: 'ignore', reason: `assignment ${assignment} was revoked` };
  return { guard: withWork(guard, assignment, kept), verdict };
}

function judgeDataRequest(
  guard: NodeGuard,
  { hash, offset, length }: NodeMessage<'data-request'>,
  payloadBytes: number,
  terms: Terms,
): NodeJudgement {
  const refuse = (verdict: Drop): NodeJudgement => ({ guard, verdict });
  const { dataRequestsInFlight, dataPasses } = guard.limits;
  if (payloadBytes > 0) return refuse(drop('MESSAGE_INVALID', 'a data request with a payload'));
  const whole = chunkLength(terms, hash, offset);
  if (whole === null || whole !== length) {
    return refuse(drop('MESSAGE_INVALID', `${length} bytes at ${offset} are no chunk of the run's data`));
  }
  if (guard.chunksInFlight >= dataRequestsInFlight) {
    return refuse(drop('FLOOD', `more than ${dataRequestsInFlight} data requests at a time`));
  }
  if (guard.dataBytesLeft < length) {
    return refuse(drop('DATA_BUDGET', `the node asked for the data more than ${dataPasses} times over`));
  }
  const chunksInFlight = guard.chunksInFlight + 1;
  const dataBytesLeft = guard.dataBytesLeft - length;
  return { guard: { ...guard, chunksInFlight, dataBytesLeft }, verdict: accept(`data at ${offset}`) };
}

function withWork(guard: NodeGuard, assignment: number, work: Work | null): NodeGuard {
  const assignments = new Map(guard.assignments);
  if (work === null) assignments.delete(assignment);
  else assignments.set(assignment, work);
  return { ...guard, assignments };
}
