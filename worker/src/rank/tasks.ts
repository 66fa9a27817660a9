/** What a rank is asked to do, and what it answers. Plain data: it crosses a thread boundary. */
import type { SplitName } from '../data/dataset.ts';
import type { Side } from './store.ts';

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
}

export interface SliceReport {
  readonly kind: 'slice';
  /** Gradients of the slice that are NaN or infinite after the summation. */
  readonly notFinite: number;
  readonly seconds: number;
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

export type RankTask = ShardTask | SliceTask | EvaluationTask;
export type RankReport = ShardReport | SliceReport | EvaluationReport;

/** The report that belongs to a task. */
export type ReportOf<T extends RankTask> = T extends ShardTask
  ? ShardReport
  : T extends SliceTask
    ? SliceReport
    : EvaluationReport;
