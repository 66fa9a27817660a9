/**
 * A program: a model compiled for one shard size. Flat lists of kernel calls with every offset fixed; a
 * rank executes them without allocating or looking anything up.
 */
import type { Call } from '../kernels/table.ts';
import type { GradientPart } from './gradient-parts.ts';
import type { GradientPiece } from './parameter-places.ts';
import type { Layout } from './layout.ts';
import type { SharedRun } from './run-sharing.ts';
import type { Model } from './spec.ts';
import type { WeightUnit } from './weight-units.ts';

/** `train` runs forward, loss and backward; `evaluate` forward and loss with running statistics. */
export type ProgramMode = 'train' | 'evaluate';

/** What a call belongs to: for the plan's table and for profiles. */
export interface Step {
  readonly call: Call;
  readonly layer: string;
  /** Shapes in words: `16x32x32x16 -> 16x32x32x16`. */
  readonly shapes: string;
}

/** A buffer with its place: byte offset in the arena and the calls between which it is alive. */
export interface PlacedBuffer {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
  /** Index into forward ++ backward of the first and last call that touches it. */
  readonly from: number;
  readonly to: number;
}

/**
 * Regions at the same place in every program of a model, whatever its shard size; in batch-norm mode `sync` that holds
 * for weights, pixel table, prepared and pool. All in bytes.
 *
 * Kept weights and what is packed come first, and several ranks may share them; what belongs to one rank begins at `own`.
 */
export interface FixedRegions {
  /**
   * float32 `[layout.totalCount]`: parameters, then running statistics. Where parameters pass there are those of one unit
   * of `prepare` at a time, in the pool, beside the images.
   */
  readonly weights: number;
  /** float32 `[layout.parameterCount]`: the shard's gradient sum. 0 where parameters pass: see `pieces`. */
  readonly gradients: number;
  /** float64 `[layout.batchNormChannels][2]`: mean and M2 of each channel over the shard. */
  readonly moments: number;
  /** Mode `sync`, as moments, else 0: the batch-norms' backward sums over the shard; both over the whole batch. */
  readonly sums: number;
  readonly batchMoments: number;
  readonly batchSums: number;
  /** float64 `[2]`: sum of losses, number of correct predictions. */
  readonly totals: number;
  /** float32 `[channels][256]`: pixel value to normalised input. */
  readonly pixelTable: number;
  /** Packed weights start here. */
  readonly prepared: number;
  /** What a rank has for itself starts here: moments, totals and pixel table, then the pool. */
  readonly own: number;
  /** Activations, gradients of activations and scratch start here. */
  readonly pool: number;
}

/** Where the loader puts a shard. */
export interface ShardInput {
  /** uint8 `[shardSize][H][W][C]`. */
  readonly bytes: number;
  /** The first activation, with its halo. */
  readonly images: number;
  readonly imagesHalo: number;
  /** int32 `[shardSize]`. */
  readonly labels: number;
  /** int32 `[shardSize]`, written by the loss. */
  readonly predictions: number;
}

/** Mode `sync`: where the program cannot go on without the whole batch's moments (forward) or sums (backward). */
export interface SyncPoint {
  /** Calls of forward ++ backward that come before it. */
  readonly calls: number;
  readonly direction: 'forward' | 'backward';
  /** The layer's channels among those of all batch-norms: [channel, channel + channels). */
  readonly channel: number;
  readonly channels: number;
}

export interface Program {
  readonly model: Model;
  readonly layout: Layout;
  readonly mode: ProgramMode;
  readonly shardSize: number;
  /** Once whenever the weights change, in any order, by any ranks that share what is packed. */
  readonly prepare: readonly WeightUnit[];
  readonly forward: readonly Step[];
  readonly backward: readonly Step[];
  readonly regions: FixedRegions;
  readonly input: ShardInput;
  readonly buffers: readonly PlacedBuffer[];
  /** Parts of the gradient in the order in which `backward` finishes them; none in mode `evaluate`. */
  readonly parts: readonly GradientPart[];
  /** All of the gradient, in the order in which it is to be taken over; no piece lies in two parts. */
  readonly pieces: readonly GradientPiece[];
  /** Runs that several ranks may compute together, in the order of their calls; none but in mode `train` without `sync`. */
  readonly sharedRuns: readonly SharedRun[];
  /** None unless the program was compiled for batch-norm mode `sync`. */
  readonly points: readonly SyncPoint[];
  /** Bytes of the arena that this program needs in all. */
  readonly arenaBytes: number;
}
