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
import { align, bufferAlignment } from '@lockstep/shared/model/memory-plan.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { controlWordCount, type Side, StoreControl } from './control.ts';
import { pairChunkFloats } from './pair-states.ts';
import { roundWordCount } from './round-board.ts';
import type { ShardReport } from './tasks.ts';

/** Which of the two copies. */
export type { Side } from './control.ts';

/**
 * Floats that a slice is worked through at a time: the sums of a chunk stay in the second-level cache. With chunks for the
 * first one, the calls between them take a third of the time (docs/log.md).
 */
export const chunkFloats = 16384;

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
  /** Sums of subtrees that may be coming in at a time, from somebody who has sent them; absent: none. */
  readonly inboxes?: number;
  /** Subtrees whose sums may be under way at a time, for somebody to send; absent: none. */
  readonly outboxes?: number;
  /** Where two shards share a slot (`pair-states.ts`): chunks of it. Absent: every shard has a slot of its own. */
  readonly pairChunks?: number;
  /** Where ranks help themselves to a step: its samples, and units of its update, at most. Absent: they are told what to do. */
  readonly roundSamples?: number;
  readonly roundUnits?: number;
}

/** Byte offsets. Plain data, so that it can be posted to threads. */
export interface StoreLayout extends StoreShape {
  /** float32 `[totalCount]`, one for each side. */
  readonly weights: readonly [number, number];
  /** float32 `[parameterCount]` for each state vector, by side. */
  readonly optimizer: readonly [readonly number[], readonly number[]];
  /**
   * float32 `[shards, or pairs of them, and inboxes][parameterCount]`: slot k begins at `slots + k * slotBytes`. The
   * last ones take in sums from elsewhere.
   */
  readonly slots: number;
  readonly slotBytes: number;
  /** Shared slots only. int32 `[pairs][pairChunks]`: states of chunks, by the side that the step reads. */
  readonly pairWords: readonly [number, number];
  /** float32 `[shardsPerStep][pairChunkFloats]`: sums on their way into a slot. */
  readonly journals: number;
  /** For each rank: a chunk, the order of summation, the tree's scratch. */
  readonly pairScratch: number;
  readonly pairScratchBytes: number;
  /**
   * float64 `[shardsPerStep][batchNormChannels][2]`, by the side that the step reads: where ranks go on to the next step
   * before this one is committed, each has its own.
   */
  readonly moments: readonly [number, number];
  readonly momentsBytes: number;
  /** float64 `[shardsPerStep][batchNormChannels][2]`: the sums of backward batch-norms, in mode `sync`. */
  readonly sums: number;
  /** float64 `[2][batchNormChannels][2]`: moments and sums of the whole batch, in mode `sync`. */
  readonly batchTotals: number;
  /** float32 `[parameterCount]` each, or as many short floats: sums of subtrees, ready to be sent. */
  readonly outbox: number;
  /** float64 `[shardsPerStep][4]`: what shards came to, for a sum that is sent. */
  readonly results: number;
  /** int32: see `StoreControl`. */
  readonly control: number;
  readonly controlWords: number;
  /** int32: see `RoundBoard`, by the side that the step reads. */
  readonly round: readonly [number, number];
  readonly roundWords: number;
  /** For each rank, then for the main thread: a summed chunk, the order of summation, the tree's scratch. */
  readonly scratch: number;
  readonly rankScratchBytes: number;
  readonly bytes: number;
}

/** Bytes of the longest order of summation: every shard alone. */
export function scheduleBytes(shardsPerStep: number): number {
  return align(4 * (2 * shardsPerStep - 1));
}

/** Four float64. */
const bytesOfResult = 32;

/** What a shard came to, besides its gradient and moments. */
export type ShardResult = Omit<ShardReport, 'kind' | 'samples' | 'revoked'>;

/** Bytes of the order in which two shards are summed. */
export const pairScheduleBytes = bufferAlignment;

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
  const { pairChunks } = shape;
  const isPaired = pairChunks !== undefined;
  const slotCount = isPaired ? Math.ceil(shape.shardsPerStep / 2) : shape.shardsPerStep;
  const slots = place(slotBytes * (slotCount + (shape.inboxes ?? 0)));
  // Ranks that help themselves may be a step ahead of the commit.
  const bySide = (bytes: number): readonly [number, number] => {
    const at = place(bytes);
    return [at, isPaired ? place(bytes) : at];
  };
  const pairWords = bySide(isPaired ? 4 * pairChunks * slotCount : 0);
  const journals = place(isPaired ? 4 * pairChunkFloats * shape.shardsPerStep : 0);
  const pairScratchBytes = 4 * pairChunkFloats + pairScheduleBytes + align(shape.scratchBytes);
  const pairScratch = place(isPaired ? pairScratchBytes * shape.ranks : 0);
  const momentsBytes = align(16 * shape.batchNormChannels);
  const moments = bySide(momentsBytes * shape.shardsPerStep);
  const sums = place(momentsBytes * shape.shardsPerStep);
  const batchTotals = place(32 * shape.batchNormChannels);
  const outboxes = shape.outboxes ?? 0;
  const outbox = place(slotBytes * outboxes);
  const results = place(outboxes === 0 ? 0 : bytesOfResult * shape.shardsPerStep);
  const controlWords = controlWordCount(shape.shardsPerStep, outboxes);
  const control = place(4 * controlWords);
  const roundWords = roundWordCount(shape.shardsPerStep, shape.roundUnits ?? 0, shape.roundSamples ?? 0);
  const round = bySide(4 * roundWords);
  const rankScratchBytes =
    align(4 * chunkFloats) + scheduleBytes(shape.shardsPerStep) + align(shape.scratchBytes);
  const scratch = place(rankScratchBytes * (shape.ranks + 1));
  return {
    ...shape,
    weights,
    optimizer,
    slots,
    slotBytes,
    pairWords,
    journals,
    pairScratch,
    pairScratchBytes,
    moments,
    momentsBytes,
    sums,
    batchTotals,
    outbox,
    results,
    control,
    controlWords,
    round,
    roundWords,
    scratch,
    rankScratchBytes,
    bytes: top,
  };
}

/** Typed access to a store's regions. */
export class Store {
  readonly layout: StoreLayout;
  readonly arena: Arena;
  readonly control: StoreControl;

  constructor(layout: StoreLayout, arena: Arena) {
    this.layout = layout;
    this.arena = arena;
    const words = arena.int32(layout.control, layout.controlWords);
    this.control = new StoreControl(words, layout.shardsPerStep, layout.outboxes ?? 0);
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

  /** The gradient slot of a shard, float32 `[parameterCount]`; from `shardsPerStep` on, where none share, an inbox. */
  slot(index: number): Float32Array<SharedArrayBuffer> {
    const { slots, slotBytes, parameterCount } = this.layout;
    return this.arena.float32(slots + slotOf(this.layout, index) * slotBytes, parameterCount);
  }

  /** States of the chunks of the slot that a shard shares with its neighbour, in a step that reads this side. */
  pairWords(shard: number, side: Side): Int32Array<SharedArrayBuffer> {
    const { pairWords, pairChunks = 0 } = this.layout;
    return this.arena.int32(pairWords[side] + 4 * (shard >> 1) * pairChunks, pairChunks);
  }

  /** A shard's sum with its neighbour on its way into their slot, float32 `[pairChunkFloats]`. */
  journal(shard: number): Float32Array<SharedArrayBuffer> {
    return this.arena.float32(this.layout.journals + 4 * pairChunkFloats * shard, pairChunkFloats);
  }

  /** The moments of a shard, float64 `[batchNormChannels][2]`. @param side that its step reads, where two may be under way */
  moments(shard: number, side: Side = 0): Float64Array<SharedArrayBuffer> {
    const offset = this.layout.moments[side] + shard * this.layout.momentsBytes;
    return this.arena.float64(offset, 2 * this.layout.batchNormChannels);
  }

  /** What a shard adds to its batch-norms' backward sums, float64 `[batchNormChannels][2]`; mode `sync`. */
  sums(shard: number): Float64Array<SharedArrayBuffer> {
    const offset = this.layout.sums + shard * this.layout.momentsBytes;
    return this.arena.float64(offset, 2 * this.layout.batchNormChannels);
  }

  /** Moments (0) or backward sums (1) of the whole batch, float64 `[batchNormChannels][2]`; mode `sync`. */
  batchTotals(which: 0 | 1): Float64Array<SharedArrayBuffer> {
    const { batchTotals, batchNormChannels } = this.layout;
    return this.arena.float64(batchTotals + which * 16 * batchNormChannels, 2 * batchNormChannels);
  }

  /** Rank: writes down what a shard came to, where sums are sent. */
  putResult({ shard, lossSum, correct, loadSeconds, computeSeconds }: ShardResult): void {
    if ((this.layout.outboxes ?? 0) === 0) return;
    this.resultOf(shard).set([lossSum, correct, loadSeconds, computeSeconds]);
    this.control.report(shard);
  }

  /** What a shard came to; null when it has not told. */
  result(shard: number): ShardResult | null {
    if (!this.control.isReported(shard)) return null;
    const [lossSum = Number.NaN, correct = 0, loadSeconds = 0, computeSeconds = 0] = this.resultOf(shard);
    return { shard, lossSum, correct, loadSeconds, computeSeconds };
  }

  /** Byte offset of a rank's scratch, or, behind those of all ranks, of the main thread's. */
  scratchOf(index: number): number {
    return this.layout.scratch + index * this.layout.rankScratchBytes;
  }

  private resultOf(shard: number): Float64Array<SharedArrayBuffer> {
    return this.arena.float64(this.layout.results + bytesOfResult * shard, bytesOfResult / 8);
  }

  /** Floats [from, to) of a subtree's sum as they travel: `floatBytes` each. */
  outbox(index: number, from: number, to: number, floatBytes: number): Uint8Array<SharedArrayBuffer> {
    const begin = this.layout.outbox + index * this.layout.slotBytes;
    return this.arena.bytes.subarray(begin + from * floatBytes, begin + to * floatBytes);
  }
}

/** How many inboxes there is room for, at most one for each shard. @param shape without inboxes */
export function inboxesFor(shape: StoreShape): number {
  const { bytes, slotBytes } = layOutStore(shape);
  const room = Math.floor((largestArenaBytes - bytes) / slotBytes);
  return Math.max(0, Math.min(shape.shardsPerStep, room));
}

/** Number of a shard's slot. */
export function slotOf({ pairChunks }: Pick<StoreLayout, 'pairChunks'>, shard: number): number {
  return pairChunks === undefined ? shard : shard >> 1;
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
