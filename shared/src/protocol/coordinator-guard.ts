/**
 * Judges what the coordinator sends: the node's side of the connection, as a pure state machine. A node trusts
 * its coordinator with the run, not with its memory: sizes, steps and order are checked all the same.
 */
import { bytesPerFloat } from './dtype.ts';
import { largestFrameBytes, largestPartCount, type Limits } from './limits.ts';
import type { CoordinatorMessage, CoordinatorToNode } from './messages.ts';
import { addRun, holdsAll, isWhole, noRuns, type Runs } from './ranges.ts';
import { isSubtree } from './subtree.ts';
import { syncPointBytes, type Terms } from './terms.ts';
import { accept, type Drop, drop, type Verdict } from './verdict.ts';

/** welcome: waiting for it. preparing: it came, `noteJoined` has not been called. ended: refused or goodbye. */
export type CoordinatorPhase = 'welcome' | 'preparing' | 'joined' | 'ready' | 'ended';

interface WantedChunk {
  readonly hash: string;
  readonly offset: number;
  readonly length: number;
}

/** The vector that is coming, or has come. */
export interface ArrivingWeights {
  readonly step: number;
  readonly runs: Runs;
  readonly parts: number;
  /** All parameters are here: ranks can compute with them. */
  readonly computable: boolean;
  /** And the running statistics, which evaluations need, and hashes. */
  readonly whole: boolean;
}

export interface CoordinatorGuard {
  readonly phase: CoordinatorPhase;
  readonly limits: Limits;
  readonly openedAt: number;
  readonly heardAt: number;
  readonly terms: Terms | null;
  readonly wanted: readonly WantedChunk[];
  /** Null before the first part. */
  readonly weights: ArrivingWeights | null;
  /** Assignments and evaluations that came and are not finished. */
  readonly open: ReadonlySet<number>;
  readonly lastAssignment: number;
}

export interface CoordinatorJudgement {
  readonly guard: CoordinatorGuard;
  readonly verdict: Verdict;
}

/** The hello was sent. */
export function openCoordinatorGuard(limits: Limits, now: number): CoordinatorGuard {
  return {
    phase: 'welcome',
    limits,
    openedAt: now,
    heardAt: now,
    terms: null,
    wanted: [],
    weights: null,
    open: new Set(),
    lastAssignment: 0,
  };
}

/** Bytes of the largest frame that may come. */
export function admittedCoordinatorBytes({ limits }: CoordinatorGuard): number {
  return largestFrameBytes(limits);
}

/** The welcome was read, and its terms agree with the model's own layout. */
export function noteJoined(guard: CoordinatorGuard, terms: Terms): CoordinatorGuard {
  return { ...guard, phase: 'joined', terms };
}

/** `ready` was sent. */
export function noteReady(guard: CoordinatorGuard): CoordinatorGuard {
  return { ...guard, phase: 'ready' };
}

/** A `data-request` was sent. */
export function noteRequested(guard: CoordinatorGuard, wanted: WantedChunk): CoordinatorGuard {
  return { ...guard, wanted: [...guard.wanted, wanted] };
}

/** The last message about an assignment was sent: its last subtree-done, evaluation-done, failed or released. */
export function noteFinished(guard: CoordinatorGuard, assignment: number): CoordinatorGuard {
  const open = new Set(guard.open);
  open.delete(assignment);
  return { ...guard, open };
}

/** A sign of life without a whole frame: bytes came, or this side itself was paused and could not listen. */
export function noteCoordinatorAlive(guard: CoordinatorGuard, now: number): CoordinatorGuard {
  return { ...guard, heardAt: Math.max(guard.heardAt, now) };
}

/** Has the coordinator kept the times? */
export function judgeCoordinatorTime(guard: CoordinatorGuard, now: number): Drop | null {
  const { phase, limits, openedAt, heardAt } = guard;
  if (phase === 'welcome') {
    if (now - openedAt <= limits.helloTimeout) return null;
    return drop('HANDSHAKE_TIMEOUT', `no welcome within ${limits.helloTimeout} ms`);
  }
  if (phase === 'ended' || now - heardAt <= limits.silence) return null;
  return drop(
    'HEARTBEAT_LOST',
    `nothing heard for ${Math.round(now - heardAt)} ms; the limit is ${limits.silence}`,
  );
}

/** Judges one message that has passed its schema. */
export function judgeCoordinatorMessage(
  guard: CoordinatorGuard,
  message: CoordinatorToNode,
  payloadBytes: number,
  now: number,
): CoordinatorJudgement {
  const next = judge(guard, message, payloadBytes);
  if ('kind' in next) return { guard, verdict: next };
  return { guard: { ...guard, ...next.change, heardAt: now }, verdict: accept(next.reason) };
}

interface Accepted {
  readonly change: Partial<CoordinatorGuard>;
  readonly reason: string;
}

function judge(guard: CoordinatorGuard, message: CoordinatorToNode, payloadBytes: number): Accepted | Drop {
  const { phase, terms } = guard;
  const unexpected = (why: string): Drop => drop('MESSAGE_UNEXPECTED', `message '${message.type}' ${why}`);
  const invalid = (why: string): Drop => drop('MESSAGE_INVALID', `message '${message.type}': ${why}`);
  if (phase === 'ended') return unexpected('after the end');
  const wantsPayload =
    message.type === 'data-chunk' || message.type === 'weights' || message.type === 'sync-total';
  if (!wantsPayload && payloadBytes > 0) return invalid('a payload where there is none');
  if (message.type === 'refused') return { change: { phase: 'ended' }, reason: `refused: ${message.reason}` };
  if (message.type === 'goodbye') return { change: { phase: 'ended' }, reason: `goodbye: ${message.reason}` };
  if (message.type === 'welcome') {
    if (phase !== 'welcome') return unexpected('a second time');
    return { change: { phase: 'preparing' }, reason: `welcome as node ${message.nodeId}` };
  }
  if (phase === 'welcome') return unexpected('before the welcome');
  if (message.type === 'heartbeat') return { change: {}, reason: 'heartbeat' };
  if (terms === null) return unexpected('before the node knows its model');
  if (message.type === 'data-chunk') return judgeChunk(guard, message, payloadBytes);
  if (phase !== 'ready') return unexpected('before the node is ready');

  switch (message.type) {
    case 'weights':
      return judgeWeights(guard, message, payloadBytes, terms);
    case 'assign':
    case 'evaluate': {
      if (message.assignment <= guard.lastAssignment) return unexpected('with a number that was used before');
      if (guard.open.size >= guard.limits.openAssignments) return unexpected('with too many others open');
      if (isOver(guard, message.step)) return unexpected('for a step that is over');
      const trouble =
        message.type === 'assign' ? subtreesTrouble(message, terms) : rangeTrouble(message, terms);
      if (trouble !== null) return invalid(trouble);
      const open = new Set(guard.open).add(message.assignment);
      return {
        change: { open, lastAssignment: message.assignment },
        reason: `work for step ${message.step}`,
      };
    }
    case 'revoke':
    case 'progress-request':
      // It may be finished here and its last message on its way: that is no error.
      if (message.assignment > guard.lastAssignment) return unexpected('of an assignment that never came');
      return { change: {}, reason: message.type === 'revoke' ? message.reason : 'somebody is idle' };
    case 'sync-total': {
      const bytes = syncPointBytes(terms, message.point);
      if (bytes === null || bytes !== payloadBytes)
        return invalid(`${payloadBytes} bytes for point ${message.point}`);
      return { change: {}, reason: `batch-norm point ${message.point}` };
    }
    case 'resynchronise': {
      if (isOver(guard, message.step)) return unexpected('for a step that is over');
      const weights = { step: message.step, runs: noRuns, parts: 0, computable: false, whole: false };
      return { change: { weights }, reason: message.reason };
    }
  }
}

/** Parts of the next step's weights come while a step is being computed; once they are whole, it is over. */
function isOver({ weights }: CoordinatorGuard, step: number): boolean {
  return weights !== null && step < (weights.whole ? weights.step : weights.step - 1);
}

function judgeChunk(
  guard: CoordinatorGuard,
  { hash, offset, length }: CoordinatorMessage<'data-chunk'>,
  payloadBytes: number,
): Accepted | Drop {
  const at = guard.wanted.findIndex((w) => w.hash === hash && w.offset === offset && w.length === length);
  if (at < 0) return drop('MESSAGE_UNEXPECTED', `data at ${offset} that this node did not ask for`);
  if (payloadBytes !== length)
    return drop('MESSAGE_INVALID', `a chunk of ${payloadBytes} bytes instead of ${length}`);
  return { change: { wanted: guard.wanted.toSpliced(at, 1) }, reason: `data at ${offset}` };
}

function judgeWeights(
  guard: CoordinatorGuard,
  { step, from, to, dtype }: CoordinatorMessage<'weights'>,
  payloadBytes: number,
  { parameterCount, totalCount, wireDtype }: Terms,
): Accepted | Drop {
  const invalid = (why: string): Drop => drop('MESSAGE_INVALID', `weights: ${why}`);
  if (dtype !== wireDtype) return invalid(`in ${dtype}; the run's are ${wireDtype}`);
  if (from >= to || to > totalCount) return invalid(`floats ${from}..${to} of ${totalCount}`);
  const bytes = (to - from) * bytesPerFloat[dtype];
  if (bytes !== payloadBytes) return invalid(`${payloadBytes} bytes for ${to - from} floats of ${dtype}`);
  if (bytes > guard.limits.partBytes)
    return invalid(`a part of ${bytes} bytes; at most ${guard.limits.partBytes}`);
  const before = guard.weights;
  if (before !== null && step < before.step)
    return drop('MESSAGE_UNEXPECTED', `weights of the old step ${step}`);
  const { runs: old, parts } = before?.step === step ? before : { runs: noRuns, parts: 0 };
  if (parts >= largestPartCount(totalCount)) return invalid('in too many parts');
  const runs = addRun(old, from, to);
  if (runs === null) return invalid(`floats ${from}..${to} hold some that came before`);
  if (runs.length > 2 * guard.limits.openRuns) return invalid('too many gaps between the parts');
  const computable = holdsAll(runs, parameterCount);
  const weights = { step, runs, parts: parts + 1, computable, whole: isWhole(runs, totalCount) };
  return { change: { weights }, reason: `weights of step ${step}` };
}

function subtreesTrouble(
  { subtrees }: CoordinatorMessage<'assign'>,
  { shardsPerStep }: Terms,
): string | null {
  const sorted = subtrees.toSorted((a, b) => a.from - b.from);
  for (const [i, subtree] of sorted.entries()) {
    const name = `shards ${subtree.from}..${subtree.from + subtree.width - 1}`;
    if (!isSubtree(shardsPerStep, subtree)) return `${name} are no subtree of ${shardsPerStep} shards`;
    const next = sorted[i + 1];
    if (next !== undefined && next.from < subtree.from + subtree.width) return `${name} overlap others`;
  }
  return null;
}

function rangeTrouble({ split, from, count }: CoordinatorMessage<'evaluate'>, terms: Terms): string | null {
  const all = terms.splits[split].count;
  return from + count > all ? `samples ${from}..${from + count} of ${all}` : null;
}
