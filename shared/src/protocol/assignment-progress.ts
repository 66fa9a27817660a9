/** How far a node has come with one assignment, and whether its next message about it is right. Pure. */
import type { Limits } from './limits.ts';
import { largestPartCount } from './limits.ts';
import type { NodeMessage, Subtree } from './messages.ts';
import { bytesPerFloat } from './dtype.ts';
import { addRun, isWhole, noRuns, type Runs } from './ranges.ts';
import { shardCount } from './subtree.ts';
import { momentsBytes, syncPointBytes, syncPointCount, type Terms } from './terms.ts';
import { accept, type Drop, drop, type Verdict } from './verdict.ts';

interface SubtreeProgress extends Subtree {
  /** Samples that each of its shards must report. */
  readonly samples: readonly number[];
  readonly runs: Runs;
  readonly parts: number;
  /** Batch-norm points sent, in mode `sync`. */
  readonly points: number;
  readonly done: boolean;
}

/**
 * revoked: a revoke was sent; what comes is still checked, and then ignored. closed: revoked, and the node has said
 * its last word but `released`.
 */
export type WorkState = 'open' | 'revoked' | 'closed';

export interface ShardWork {
  readonly kind: 'shards';
  readonly step: number;
  readonly subtrees: readonly SubtreeProgress[];
  /** Shards that the node has said to have begun. */
  readonly begun: number;
  /** A `progress-request` was sent and is not answered. */
  readonly asked: boolean;
  readonly state: WorkState;
}

export interface EvaluationWork {
  readonly kind: 'evaluation';
  readonly step: number;
  readonly count: number;
  readonly state: WorkState;
}

export type Work = ShardWork | EvaluationWork;

export type WorkMessage = NodeMessage<
  'gradient-part' | 'subtree-done' | 'sync-part' | 'evaluation-done' | 'progress'
>;

/** Work that has just been given out. @param samplesOf samples of each shard of the step */
export function shardWork(
  step: number,
  subtrees: readonly Subtree[],
  samplesOf: (shard: number) => number,
): ShardWork {
  return {
    kind: 'shards',
    step,
    subtrees: subtrees.map(({ from, width }) => ({
      from,
      width,
      samples: Array.from({ length: width }, (_, i) => samplesOf(from + i)),
      runs: noRuns,
      parts: 0,
      points: 0,
      done: false,
    })),
    begun: 0,
    asked: false,
    state: 'open',
  };
}

export interface Progress {
  /** The work afterwards; null when it is complete. */
  readonly work: Work | null;
  readonly verdict: Verdict;
}

/** Judges one message about work that is open. */
export function advanceWork(
  work: Work,
  message: WorkMessage,
  payloadBytes: number,
  terms: Terms,
  limits: Limits,
): Progress {
  const unchanged = (verdict: Drop): Progress => ({ work, verdict });
  if (work.state === 'closed')
    return unchanged(drop('MESSAGE_UNEXPECTED', 'the assignment had ended before'));
  if (message.type === 'progress') {
    const { begun } = message;
    if (work.kind !== 'shards' || payloadBytes > 0)
      return unchanged(drop('MESSAGE_INVALID', 'progress of an evaluation, or with a payload'));
    if (!work.asked) return unchanged(drop('MESSAGE_UNEXPECTED', 'progress that nobody asked for'));
    const shards = shardCount(work.subtrees);
    if (begun < work.begun || begun > shards)
      return unchanged(drop('MESSAGE_INVALID', `${begun} of ${shards} shards begun after ${work.begun}`));
    return {
      work: { ...work, begun, asked: false },
      verdict: accept(`${begun} of ${shards} shards begun`),
    };
  }
  if (message.step !== work.step) {
    return unchanged(drop('GRADIENT_INVALID', `step ${message.step} in an assignment of step ${work.step}`));
  }
  if (message.type === 'evaluation-done') {
    if (work.kind !== 'evaluation')
      return unchanged(drop('MESSAGE_UNEXPECTED', 'these are shards to train on'));
    const { count, correct } = message;
    if (count !== work.count || correct > count || payloadBytes !== 4 * count) {
      const what = `${count} samples, ${correct} correct, ${payloadBytes} bytes`;
      return unchanged(
        drop('MESSAGE_INVALID', `an evaluation of ${work.count} samples came back with ${what}`),
      );
    }
    return { work: null, verdict: accept(`evaluation of ${count} samples done`) };
  }
  if (work.kind !== 'shards') return unchanged(drop('MESSAGE_UNEXPECTED', 'these are samples to evaluate'));
  const progress = work.subtrees[message.subtree];
  if (progress === undefined) {
    return unchanged(drop('GRADIENT_INVALID', `the assignment has no subtree ${message.subtree}`));
  }
  if (progress.done) {
    return unchanged(drop('GRADIENT_INVALID', `subtree ${message.subtree} was complete already`));
  }
  const next = advanceSubtree(progress, message, payloadBytes, terms, limits);
  if ('kind' in next) return unchanged(next);
  const subtrees = work.subtrees.with(message.subtree, next);
  const finished = subtrees.every(({ done }) => done);
  const shards = `shards ${next.from}..${next.from + next.width - 1} of step ${work.step}`;
  return { work: finished ? null : { ...work, subtrees }, verdict: accept(`${message.type} for ${shards}`) };
}

function advanceSubtree(
  progress: SubtreeProgress,
  message: Exclude<WorkMessage, { type: 'evaluation-done' | 'progress' }>,
  payloadBytes: number,
  terms: Terms,
  limits: Limits,
): SubtreeProgress | Drop {
  const wrong = (reason: string): Drop => drop('GRADIENT_INVALID', reason);
  const { parameterCount, wireDtype } = terms;
  if (message.type === 'gradient-part') {
    const { from, to, dtype } = message;
    if (dtype !== wireDtype) return wrong(`a gradient in ${dtype}; the run's are ${wireDtype}`);
    if (from >= to || to > parameterCount) return wrong(`floats ${from}..${to} of ${parameterCount}`);
    const bytes = (to - from) * bytesPerFloat[dtype];
    if (bytes !== payloadBytes) return wrong(`${payloadBytes} bytes for ${to - from} floats of ${dtype}`);
    if (bytes > limits.partBytes) return wrong(`a part of ${bytes} bytes; at most ${limits.partBytes}`);
    if (progress.parts >= largestPartCount(parameterCount)) return wrong('a gradient in too many parts');
    const runs = addRun(progress.runs, from, to);
    if (runs === null) return wrong(`floats ${from}..${to} hold some that came before`);
    if (runs.length > 2 * limits.openRuns) return wrong('a gradient with too many gaps between its parts');
    return { ...progress, runs, parts: progress.parts + 1 };
  }
  if (message.type === 'sync-part') {
    const bytes = syncPointBytes(terms, message.point);
    if (bytes === null) return wrong(`there is no batch-norm point ${message.point}`);
    if (message.point !== progress.points)
      return wrong(`point ${message.point} instead of ${progress.points}`);
    if (payloadBytes !== bytes) return wrong(`${payloadBytes} bytes at a point of ${bytes}`);
    return { ...progress, points: progress.points + 1 };
  }
  if (!isWhole(progress.runs, parameterCount)) return wrong('a subtree done before all of its gradient came');
  if (progress.points !== syncPointCount(terms))
    return wrong('a subtree done before all its batch-norm points');
  const moments = momentsBytes(terms);
  if (payloadBytes !== moments) return wrong(`${payloadBytes} bytes of moments instead of ${moments}`);
  const trouble = reportTrouble(progress, message.shards);
  return trouble === null ? { ...progress, done: true } : wrong(trouble);
}

function reportTrouble(
  { from, width, samples }: SubtreeProgress,
  reports: NodeMessage<'subtree-done'>['shards'],
): string | null {
  if (reports.length !== width) return `${reports.length} reports for ${width} shards`;
  for (const [i, report] of reports.entries()) {
    if (report.shard !== from + i) return `a report of shard ${report.shard} in place of shard ${from + i}`;
    if (report.samples !== samples[i])
      return `shard ${report.shard} of ${samples[i]} samples counted ${report.samples}`;
    if (report.correct > report.samples)
      return `shard ${report.shard} got ${report.correct} right of ${report.samples}`;
  }
  return null;
}
