/** What a rank is asked to do, and what it answers. Plain data: it crosses a thread boundary. */
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import type { SplitName } from '../data/dataset.ts';
import type { Side } from './store.ts';

/** A subtree whose sum somebody waits for, and the outbox of the store that it goes to. */
export interface SubtreeOutlet extends Subtree {
  readonly outbox: number;
}

/** Compute the gradient sum of one shard and put it into its slot of the store. */
export interface ShardTask {
  readonly kind: 'shard';
  /** Steps committed before this one: names the weights that are to be used. */
  readonly step: number;
  readonly side: Side;
  readonly epoch: number;
  readonly shard: number;
  /** Indices into the training split; may be empty. */
  readonly samples: readonly number[];
  /** Part by part, whoever finishes the last shard of it sums the subtree while the backward pass goes on. */
  readonly subtree?: SubtreeOutlet;
  /** Load the samples, then wait until the store's control words say that the weights of the step are there. */
  readonly awaitWeights?: boolean;
}

export interface ShardReport {
  readonly kind: 'shard';
  readonly shard: number;
  readonly samples: number;
  readonly lossSum: number;
  readonly correct: number;
  /** Seconds of loading and augmenting, and of arithmetic. */
  readonly loadSeconds: number;
  readonly computeSeconds: number;
  /** Only when the shard was taken back before it was done, or its weights did not come: its slot holds nothing. */
  readonly revoked?: true;
}

/** Compute some shards one after the other: in between nobody need be asked, or told. */
export interface ShardsTask {
  readonly kind: 'shards';
  readonly tasks: readonly ShardTask[];
}

export interface ShardsReport {
  readonly kind: 'shards';
  /** In the order of the tasks. */
  readonly shards: readonly ShardReport[];
}

/**
 * Batch-norm mode `sync`: compute some shards layer by layer, together with whoever computes the others. At every point
 * the rank leaves their moments or sums in the store and sleeps until those of the whole batch are there.
 */
export interface SyncTask {
  readonly kind: 'sync';
  readonly step: number;
  readonly side: Side;
  readonly epoch: number;
  /** Samples of the whole step. */
  readonly batchSamples: number;
  /** Names the attempt at the step: what a rank has computed for another one is not used. */
  readonly meeting: number;
  /** At most as many as the rank has room for. */
  readonly shards: readonly {
    readonly shard: number;
    readonly samples: readonly number[];
    readonly subtree?: SubtreeOutlet;
  }[];
  readonly awaitWeights?: boolean;
}

export interface SyncReport {
  readonly kind: 'sync';
  /** False: the rank came back where it would have had to wait (paused, revoked, or for too long); ask again. */
  readonly finished: boolean;
  /** Of all shards, in the task's order, once they are finished. */
  readonly shards: readonly ShardReport[];
}

/**
 * Take part in a step that lies open on the board of a side: shards while there are any, then what can be updated while
 * others still compute theirs. Then in those that follow, as long as they are open in time.
 */
export interface RoundTask {
  readonly kind: 'round';
  /** The first step. Another one that lies open there by the time the task arrives may not be begun yet. */
  readonly step: number;
  /** That the first step reads. */
  readonly side: Side;
  /** Names whoever takes part: what was taken by one that is lost can be told from the rest. */
  readonly seat: number;
}

/** What came of shards and updates stands on the boards. */
export interface RoundReport {
  readonly kind: 'round';
  /** Steps that the rank took part in, floats that it updated in them, and floats of weights that it packed. */
  readonly rounds: number;
  readonly floats: number;
  readonly packed: number;
  /** Kernel calls that it made for shards of others. */
  readonly helped: number;
}

/** Sum floats [from, to) of a subtree's slots into its outbox, in the recipe's wire type. */
export interface SubtreeTask extends SubtreeOutlet {
  readonly kind: 'subtree';
  readonly slice: { readonly from: number; readonly to: number };
}

export interface SubtreeReport {
  readonly kind: 'subtree';
  /** Sums that are NaN or infinite as they would travel. */
  readonly notFinite: number;
  readonly seconds: number;
}

/** Sum a slice of all shards' gradients in the fixed tree and apply the optimizer to it. */
export interface SliceTask {
  readonly kind: 'slice';
  /** Side to read; the other one is written. */
  readonly side: Side;
  /** Floats [from, to) of the flat gradient. */
  readonly from: number;
  readonly to: number;
  /** Number of this update, from 1. */
  readonly update: number;
  readonly learningRate: number;
  /** Samples of the whole step: the sum is divided by it, once. */
  readonly samples: number;
  /** Subtrees whose sums the slots hold; absent: every shard alone. */
  readonly covers?: readonly Cover[];
}

/** A subtree whose sum lies in a slot. */
export interface Cover extends Subtree {
  readonly slot: number;
}

export interface SliceReport {
  readonly kind: 'slice';
  /** Gradients of the slice that are NaN or infinite after the summation. */
  readonly notFinite: number;
}

/** Forward pass with running statistics over consecutive samples. */
export interface EvaluationTask {
  readonly kind: 'evaluation';
  readonly step: number;
  readonly side: Side;
  readonly split: SplitName;
  readonly from: number;
  readonly count: number;
}

export interface EvaluationReport {
  readonly kind: 'evaluation';
  readonly from: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly predictions: readonly number[];
}

/** By the name of the task's kind: what is asked, and what is answered. */
interface Exchanges {
  shard: [ShardTask, ShardReport];
  shards: [ShardsTask, ShardsReport];
  round: [RoundTask, RoundReport];
  sync: [SyncTask, SyncReport];
  subtree: [SubtreeTask, SubtreeReport];
  slice: [SliceTask, SliceReport];
  evaluation: [EvaluationTask, EvaluationReport];
}

export type RankTask = Exchanges[keyof Exchanges][0];
export type RankReport = Exchanges[keyof Exchanges][1];

/** The report that belongs to a task. */
export type ReportOf<T extends RankTask> = Exchanges[T['kind']][1];
