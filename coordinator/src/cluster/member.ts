/** One that computes shards: the threads of this process, or a node. The workforce sees no difference. */
import type { GradientRange } from '@lockstep/shared/model/gradient-parts.ts';
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import type { Cover, EvaluationReport, EvaluationTask, ShardReport } from '@lockstep/worker/rank/tasks.ts';
import type { PointTotal } from '../reduce/sync-step.ts';
import type { FailureCause } from './failure.ts';
import type { MemberRecord } from './member-record.ts';

/** Subtrees given to one member in one piece; they are taken back in one piece too. */
export interface Work {
  /** Unique and ascending over the run. */
  readonly id: number;
  readonly member: Member;
  readonly step: number;
  readonly subtrees: readonly Subtree[];
  /** Milliseconds of the `WakingClock`; of work that was given ahead, when its step has begun. */
  givenAt: number;
  /** Shards that the member then had to compute until this would be done, its own included. */
  readonly depth: number;
}

/** A sum that has come in whole. */
export interface Delivery {
  readonly work: Work;
  /** The subtree, and where its gradient lies, or comes to lie with `store`. */
  readonly sum: Cover;
  readonly reports: readonly ShardReport[];
  /** Copies what is not in the store into it; not called when the shards are counted already. */
  readonly store: () => void;
  /** Nothing of it is needed any more; called once, after the step when it was counted. */
  readonly release: () => void;
}

/** What members tell the workforce. */
export interface MemberEvents {
  /** A piece of a sum lies in its slot; the others follow. */
  readonly onPiece: (work: Work, sum: Cover, range: GradientRange) => void;
  /** The sum that was coming into a slot will not be complete; `release` is called as soon as nobody reads it. */
  readonly onAbandoned: (slot: number, release: () => void) => void;
  readonly onDelivery: (delivery: Delivery) => void;
  /** Batch-norm mode `sync`: what a subtree adds to a point. */
  readonly onPoint: (work: Work, subtree: Subtree, point: number, values: Float64Array) => void;
  readonly onFailure: (work: Work, cause: FailureCause, reason: string) => void;
  /** Somebody who was asked has told how far it is. */
  readonly onProgress: () => void;
}

/** What becomes of a piece of an evaluation. */
export interface PieceEvents {
  readonly onReport: (report: EvaluationReport) => void;
  readonly onFailure: (reason: string) => void;
}

/** One that evaluates elsewhere. */
export interface Evaluator {
  /** Whether it has, or is getting, the weights of a step. */
  has(step: number): boolean;
  /** @param assignment unique and ascending over the run, with the ids of `Work` */
  give(assignment: number, task: EvaluationTask, events: PieceEvents): void;
  takeBack(assignment: number, reason: string): void;
}

export interface Member {
  readonly id: number;
  readonly name: string;
  /** Names its process, also when that comes back under another id. */
  readonly instance: string;
  readonly ranks: number;
  readonly record: MemberRecord;
  /** Whether it sends the sum of a whole subtree as one; else every shard lies in its own slot. */
  readonly sums: boolean;
  /** Whether work may be given: it has, or is getting, the right weights. */
  readonly fit: boolean;
  /** Whether it may be given work of the next step as well: it begins with that when it has the parameters. Absent: no. */
  readonly looksAhead?: boolean;
  /** Absent for the threads of this process, which are asked directly. */
  readonly evaluator?: Evaluator;
  give(work: Work, samplesOf: (shard: number) => number): void;
  /** Batch-norm mode `sync`: the whole batch at a point. */
  total(step: number, point: PointTotal): void;
  /** How many shards of work, in its order, its ranks have begun, as far as is known here. */
  begunOf(work: Work): number;
  /**
   * Asks how far it is with work, unless that is known or has been asked. Absent for the threads of this process, of which
   * it is always known.
   *
   * @param now milliseconds @returns whether `begunOf` is as good as it gets
   */
  ask?(work: Work, now: number): boolean;
  /** Takes work back. @returns false when it has been begun here and will be finished */
  takeBack(work: Work, reason: string): boolean;
}
