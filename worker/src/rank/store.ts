/**
 * The store: one shared memory per process that holds the truth. Every rank reads the weights from it and
 * puts its shards' gradients into it; reduction and optimizer run on it in slices, on all ranks' threads.
 *
 * Weights and optimizer state exist twice. A step reads one side and writes the other, and the commit swaps
 * them: so a slice may be computed twice when a thread dies, and a step that is refused has changed nothing.
 */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import { largestArenaBytes } from '@lockstep/shared/model/compile.ts';
import { align } from '@lockstep/shared/model/memory-plan.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';

/** Which of the two copies. */
export type Side = 0 | 1;

/** Floats that a slice is worked through at a time: sums of a chunk stay in the first-level cache. */
export const chunkFloats = 2048;

export interface StoreShape {
  /** Floats of the parameters, which is a gradient's length. */
  readonly parameterCount: number;
  /** Floats of parameters and running statistics. */
  readonly totalCount: number;
  readonly batchNormChannels: number;
  readonly shardsPerStep: number;
  /** Names of the optimizer's state vectors. */
  readonly state: readonly string[];
  readonly ranks: number;
  /** Bytes of scratch for one rank's `treeSum`. */
  readonly scratchBytes: number;
}

/** Byte offsets. Plain data, so that it can be posted to threads. */
export interface StoreLayout extends StoreShape {
  /** float32 `[totalCount]`, one for each side. */
  readonly weights: readonly [number, number];
  /** float32 `[parameterCount]` for each state vector, by side. */
  readonly optimizer: readonly [readonly number[], readonly number[]];
  /** float32 `[shardsPerStep][parameterCount]`: shard k begins at `slots + k * slotBytes`. */
  readonly slots: number;
  readonly slotBytes: number;
  /** float64 `[shardsPerStep][batchNormChannels][2]`. */
  readonly moments: number;
  readonly momentsBytes: number;
  /** For each rank: a summed chunk, then the tree's scratch. */
  readonly scratch: number;
  readonly rankScratchBytes: number;
  readonly bytes: number;
}

/** Lays out a store. */
export function layOutStore(shape: StoreShape): StoreLayout {
  let top = firstFreeByte;
  const place = (bytes: number): number => {
    const at = top;
    top += align(bytes);
    return at;
  };
  const weights = [place(4 * shape.totalCount), place(4 * shape.totalCount)] as const;
  const states = (): number[] => shape.state.map(() => place(4 * shape.parameterCount));
  const optimizer = [states(), states()] as const;
  const slotBytes = align(4 * shape.parameterCount);
  const slots = place(slotBytes * shape.shardsPerStep);
  const momentsBytes = align(16 * shape.batchNormChannels);
  const moments = place(momentsBytes * shape.shardsPerStep);
  const rankScratchBytes = align(4 * chunkFloats) + align(shape.scratchBytes);
  const scratch = place(rankScratchBytes * shape.ranks);
  return {
    ...shape,
    weights,
    optimizer,
    slots,
    slotBytes,
    moments,
    momentsBytes,
    scratch,
    rankScratchBytes,
    bytes: top,
  };
}

/** Typed access to a store's regions. */
export class Store {
  readonly layout: StoreLayout;
  readonly arena: Arena;

  constructor(layout: StoreLayout, arena: Arena) {
    this.layout = layout;
    this.arena = arena;
  }

  /** @throws LockstepError ARENA_TOO_LARGE */
  static allocate(shape: StoreShape): Store {
    const layout = layOutStore(shape);
    if (layout.bytes > largestArenaBytes) throw tooLarge(layout);
    return new Store(layout, Arena.allocate(layout.bytes));
  }

  /** float32 `[totalCount]`: parameters, then running statistics. */
  weights(side: Side): Float32Array<SharedArrayBuffer> {
    return this.arena.float32(this.layout.weights[side], this.layout.totalCount);
  }

  /** One state vector of the optimizer, float32 `[parameterCount]`. */
  state(side: Side, index: number): Float32Array<SharedArrayBuffer> {
    return this.arena.float32(this.layout.optimizer[side][index] as number, this.layout.parameterCount);
  }

  /** The gradient slot of a shard, float32 `[parameterCount]`. */
  slot(shard: number): Float32Array<SharedArrayBuffer> {
    return this.arena.float32(this.layout.slots + shard * this.layout.slotBytes, this.layout.parameterCount);
  }

  /** The moments of a shard, float64 `[batchNormChannels][2]`. */
  moments(shard: number): Float64Array<SharedArrayBuffer> {
    const offset = this.layout.moments + shard * this.layout.momentsBytes;
    return this.arena.float64(offset, 2 * this.layout.batchNormChannels);
  }
}

/** Unlike an arena, a store shrinks with fewer shards: each has a slot of the model's size. */
function tooLarge({ bytes, shardsPerStep, parameterCount }: StoreLayout): LockstepError {
  const gibibytes = (size: number): string => (size / 2 ** 30).toFixed(2);
  return new LockstepError(
    'ARENA_TOO_LARGE',
    `The gradients of ${shardsPerStep} shards, weights and optimizer of ${parameterCount} parameters need a store of ` +
      `${gibibytes(bytes)} GiB; WebAssembly ends at ${gibibytes(largestArenaBytes)} GiB.`,
    'Take fewer shardsPerStep.',
    { bytes, shardsPerStep, limit: largestArenaBytes },
  );
}

/** The other side. */
export function otherSide(side: Side): Side {
  return side === 0 ? 1 : 0;
}
