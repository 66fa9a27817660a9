/**
 * What a run tells the world, after the commit and never inside it. The terminal draws these, `--json`
 * prints them one a line, the run's log keeps them.
 */

export interface StartEvent {
  readonly type: 'start';
  readonly model: string;
  readonly dataset: string;
  readonly parameters: number;
  readonly recipeSha256: string;
  readonly threads: number;
  /** Chosen kernel build, for example `fma-wide`, and why. */
  readonly kernels: string;
  readonly kernelsReason: string;
  readonly batchSize: number;
  readonly shardsPerStep: number;
  readonly stepsPerEpoch: number;
  /** The step after which the run ends. */
  readonly lastStep: number;
  /** Steps already done: 0, or where a checkpoint goes on. */
  readonly fromStep: number;
  readonly resumedFrom: string | null;
  /** Bytes of one rank's arena, of the packed weights that ranks share, and of the store. */
  readonly arenaBytes: number;
  readonly packedBytes: number;
  readonly storeBytes: number;
}

export interface StepEvent {
  readonly type: 'step';
  /** Number of the step just committed, from 1. */
  readonly step: number;
  /** Epoch of this step, from 1. */
  readonly epoch: number;
  readonly stepInEpoch: number;
  readonly samples: number;
  /** Mean loss and accuracy over the step's samples. */
  readonly loss: number;
  readonly accuracy: number;
  readonly learningRate: number;
  readonly seconds: number;
  /** Smoothed images per second. */
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
  /** Why the step was committed, in words. */
  readonly reason: string;
}

export interface EvaluationProgressEvent {
  readonly type: 'evaluation-progress';
  readonly done: number;
  readonly total: number;
}

export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly samples: number;
}

export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly path: string;
}

export interface RankLostEvent {
  readonly type: 'rank-lost';
  readonly step: number;
  readonly shard: number | null;
  readonly reason: string;
}

export interface NoticeEvent {
  readonly type: 'notice';
  readonly text: string;
}

export interface BaselineEvent {
  readonly type: 'baseline';
  /** One rank alone, the same kernels and recipe, measured in this process. */
  readonly imagesPerSecond: number;
  readonly steps: number;
}

export interface ResultEvent {
  readonly type: 'result';
  readonly steps: number;
  readonly epochs: number;
  readonly samples: number;
  readonly loss: number | null;
  readonly trainAccuracy: number | null;
  readonly testAccuracy: number | null;
  readonly imagesPerSecond: number | null;
  readonly weightsSha256: string;
  readonly recipeSha256: string;
  readonly threads: number;
  readonly nodes: number;
  readonly seconds: number;
  readonly checkpoint: string | null;
  readonly baselineImagesPerSecond: number | null;
  readonly speedup: number | null;
  /** True when a signal ended the run before its last step. */
  readonly interrupted: boolean;
}

/** The coordinator's port is open. */
export interface ListeningEvent {
  readonly type: 'listening';
  readonly url: string;
  /** The command that makes another machine a node; holds the token only when it was generated here. */
  readonly join: string;
  readonly reason: string;
}

/** Nobody computes, or not enough have come. */
export interface WaitingEvent {
  readonly type: 'waiting';
  readonly step: number;
  readonly reason: string;
}

export interface NodeJoinedEvent {
  readonly type: 'node-joined';
  /** Steps committed. */
  readonly step: number;
  readonly node: number;
  readonly name: string;
  readonly ranks: number;
  readonly address: string;
  readonly runtime: { readonly lockstep: string; readonly node: string; readonly platform: string };
}

export interface NodeLeftEvent {
  readonly type: 'node-left';
  readonly step: number;
  readonly node: number;
  readonly name: string;
  /** Of the offence or fault; null when it left or the network ended it. */
  readonly code: string | null;
  readonly reason: string;
}

/** A stranger was sent away. */
export interface NodeRefusedEvent {
  readonly type: 'node-refused';
  readonly address: string;
  readonly code: string;
  readonly reason: string;
}

export interface AssignedEvent {
  readonly type: 'assigned';
  /** Number of the step that is computed, from 1. */
  readonly step: number;
  readonly members: readonly {
    readonly node: number;
    readonly name: string;
    readonly shards: readonly number[];
  }[];
  readonly reason: string;
}

export interface StolenEvent {
  readonly type: 'stolen';
  readonly step: number;
  readonly from: string;
  readonly to: string;
  readonly shards: readonly number[];
  readonly reason: string;
}

export interface DecisionEvent {
  readonly type: 'decision';
  readonly step: number;
  readonly reason: string;
}

export type ClusterEvent =
  | ListeningEvent
  | WaitingEvent
  | NodeJoinedEvent
  | NodeLeftEvent
  | NodeRefusedEvent
  | AssignedEvent
  | StolenEvent
  | DecisionEvent;

export type RunEvent =
  | ClusterEvent
  | StartEvent
  | StepEvent
  | EvaluationProgressEvent
  | EvaluationEvent
  | CheckpointEvent
  | RankLostEvent
  | NoticeEvent
  | BaselineEvent
  | ResultEvent;

export type RunListener = (event: RunEvent) => void;
