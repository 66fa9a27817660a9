/**
 * Every message, one union for each direction. A message is the msgpack header of a frame; a payload, where
 * the comment names one, is the frame's raw little-endian tail. Optional values are null, never absent.
 *
 * A node's life: hello, welcome, data-request and data-chunk as needed, ready; then assign (with the weights
 * of its step before or after it) is answered for each subtree by gradient-parts and one subtree-done. It may be for
 * the step after the one that the node is at: then that one is done first, and the other begun when its parameters are
 * here. Running statistics follow when an evaluation or a hash needs them.
 * An assignment ends in one of three ways: its last subtree-done, `failed`, or `released` in answer to `revoke`.
 */
import { z } from 'zod';
import {
  datasetField,
  fields,
  largestShardCount,
  recipeField,
  shardReportField,
  subtreeField,
} from './fields.ts';

/** Peers of different versions refuse each other. hello, refused and frames as small never change their form. */
export const protocolVersion = 6;

const { assignment, step, count, positive, dtype, reason, seconds, sha256, clock, bytes } = fields;
/** Position in the assignment's list of subtrees. */
const subtree = fields.shard;
/** Values of the flat vector [from, to): a part of it, at most `partBytes` of payload. */
const range = { from: count, to: positive };

export const nodeToCoordinator = z.discriminatedUnion('type', [
  /** First message of a node. The coordinator answers with welcome or refused. */
  z.strictObject({
    type: z.literal('hello'),
    protocolVersion: z.int().min(0).max(1_000_000),
    token: z.string().max(256).nullable(),
    /** Random, for the life of the process: a node that comes back replaces its dead connection. */
    instance: z.string().regex(/^[0-9a-f]{32}$/),
    name: fields.name,
    threads: z.int().min(1).max(4096),
    /** Measured matrix-product speed of all threads; the model is not known yet. */
    gigaflops: z.number().min(0).max(1e9),
    /** Fingerprint of each arithmetic, null where this machine cannot do it. */
    fingerprints: z.strictObject({ fma: sha256.nullable(), mulAdd: sha256.nullable() }),
    runtime: z.strictObject({ lockstep: fields.name, node: fields.name, platform: fields.name }),
  }),
  /** Asks for a chunk of a split. Answered by one data-chunk; offsets are multiples of `chunkBytes`. */
  z.strictObject({ type: z.literal('data-request'), hash: sha256, offset: bytes, length: positive }),
  /** Data verified, programs compiled, ranks running: assignments may come. */
  z.strictObject({
    type: z.literal('ready'),
    dataset: z.strictObject({ train: sha256, test: sha256 }),
    ranks: z.int().min(1).max(4096),
    /** Measured with the run's own program; null when not measured. */
    imagesPerSecond: z.number().min(0).max(1e9).nullable(),
  }),
  /** Payload: floats [from, to) of a subtree's gradient sum, in `dtype`. Parts come in any order, each once. */
  z.strictObject({ type: z.literal('gradient-part'), assignment, step, subtree, ...range, dtype }),
  /**
   * All parts of a subtree are sent. Payload: float64 `[batchNormChannels][2]`, the subtree's merged moments;
   * empty in batch-norm mode `sync`. Reports of its shards, in order; counts of moments follow from the plan.
   */
  z.strictObject({
    type: z.literal('subtree-done'),
    assignment,
    step,
    subtree,
    shards: z.array(shardReportField).min(1).max(largestShardCount),
  }),
  /**
   * Batch-norm mode `sync`: what a subtree adds to one point of the step. Payload: float64 `[channels][2]`,
   * forward (mean, M2), backward (sum dy, sum dy*(z - mean)). Of L layers the points 0..L-1 are the forward ones in
   * the order of `Layout.syncLayers`, L..2L-1 the backward ones in reverse. A subtree sends its points in order.
   */
  z.strictObject({ type: z.literal('sync-part'), assignment, step, subtree, point: fields.shard }),
  /** Payload: int32 `[count]`, the predicted class of each sample. */
  z.strictObject({
    type: z.literal('evaluation-done'),
    assignment,
    step,
    count: positive,
    lossSum: z.number(),
    correct: count,
  }),
  /**
   * Answers a `progress-request`: how many shards of an assignment ranks have begun, in its order, and for how long they
   * have been at the last of them. Not sent when its last subtree-done is.
   */
  z.strictObject({ type: z.literal('progress'), assignment, begun: count, seconds }),
  /** SHA-256 over the float32 weights of a step as this node computes with them (after widening). */
  z.strictObject({ type: z.literal('weights-hash'), step, sha256 }),
  /** An assignment could not be done; `not-finite`: its gradient holds a NaN or an infinity. */
  z.strictObject({
    type: z.literal('failed'),
    assignment,
    cause: z.enum(['not-finite', 'rank-lost', 'other']),
    reason,
  }),
  /** Answers every `revoke`: nothing more comes for this assignment. Also when it was finished already. */
  z.strictObject({ type: z.literal('released'), assignment }),
  /** Also the node's account of itself: seconds since it joined, summed over its ranks, and what it does now. */
  z.strictObject({
    type: z.literal('heartbeat'),
    sentAt: clock,
    computing: z.int().min(0).max(4096),
    queued: z.int().min(0).max(65_536),
    computeSeconds: seconds,
    waitSeconds: seconds,
    sendSeconds: seconds,
  }),
  /** Last message of a node: whatever it had is handed back. */
  z.strictObject({ type: z.literal('leaving'), reason }),
]);

export const coordinatorToNode = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('welcome'),
    protocolVersion: z.int().min(0).max(1_000_000),
    nodeId: z.int().min(1).max(1_000_000_000),
    /** The model follows from the recipe and the data set's shape. */
    recipe: recipeField,
    recipeSha256: sha256,
    dataset: datasetField,
    /** Size of every chunk of a split but the last. */
    chunkBytes: positive,
    /** Of weights and gradients; see `dtype.ts` for where values are rounded. */
    wireDtype: dtype,
    /** Of the flat vector; the node compares them with its own layout. */
    layout: z.strictObject({
      parameterCount: positive,
      totalCount: positive,
      batchNormChannels: count,
    }),
    heartbeatMilliseconds: z.int().min(10).max(60_000),
    silenceMilliseconds: z.int().min(20).max(600_000),
  }),
  /** Instead of welcome, or when a peer broke the protocol; the connection closes behind it. */
  z.strictObject({
    type: z.literal('refused'),
    code: z.string().regex(/^[A-Z_]{1,64}$/),
    reason,
    advice: reason,
  }),
  /** Payload: `length` bytes of a split from `offset` on. */
  z.strictObject({ type: z.literal('data-chunk'), hash: sha256, offset: bytes, length: positive }),
  /**
   * Payload: floats [from, to) of the flat vector (parameters, then running statistics) before `step`, in
   * `dtype`. A part of a newer step ends an older one that is incomplete. With `hash` the node answers a
   * complete vector with a weights-hash.
   */
  z.strictObject({ type: z.literal('weights'), step, ...range, dtype, hash: z.boolean() }),
  /** Compute these subtrees; which samples they hold follows from the recipe and the step. */
  z.strictObject({
    type: z.literal('assign'),
    assignment,
    step,
    subtrees: z.array(subtreeField).min(1).max(largestShardCount),
  }),
  /** Forward pass over samples [from, from + count) of a split with the running statistics of a step. */
  z.strictObject({
    type: z.literal('evaluate'),
    assignment,
    step,
    split: fields.split,
    from: count,
    count: z.int().min(1).max(65_536),
  }),
  /** How far is this assignment? Asked when somebody else is idle: what nobody has begun may go there. */
  z.strictObject({ type: z.literal('progress-request'), assignment }),
  /** Stop this assignment, if it is not finished. Answered by `released`. */
  z.strictObject({ type: z.literal('revoke'), assignment, reason }),
  /** Batch-norm mode `sync`: the whole batch at one point. Payload: float64 `[channels][2]` as in sync-part. */
  z.strictObject({ type: z.literal('sync-total'), step, point: fields.shard }),
  /** The node's weights are not those of the run: forget them. All parts of the step's weights follow. */
  z.strictObject({ type: z.literal('resynchronise'), step, reason }),
  /** `echo` is the `sentAt` of the node's last heartbeat: the node's round trip. */
  z.strictObject({ type: z.literal('heartbeat'), echo: clock.nullable() }),
  /** The connection ends. `again`: the node may reconnect; otherwise the run is over or the node was sent away. */
  z.strictObject({ type: z.literal('goodbye'), reason, again: z.boolean() }),
]);

export type NodeToCoordinator = Readonly<z.output<typeof nodeToCoordinator>>;
export type CoordinatorToNode = Readonly<z.output<typeof coordinatorToNode>>;

/** One message of a direction, by its tag. */
export type NodeMessage<T extends NodeToCoordinator['type']> = Extract<NodeToCoordinator, { type: T }>;
export type CoordinatorMessage<T extends CoordinatorToNode['type']> = Extract<CoordinatorToNode, { type: T }>;

export type WireDtype = z.output<typeof fields.dtype>;
export type Subtree = Readonly<z.output<typeof subtreeField>>;
export type DatasetDescription = Readonly<z.output<typeof datasetField>>;
