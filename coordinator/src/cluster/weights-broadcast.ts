/**
 * The weights as frames: encoded once a step, sent as often as there are nodes. Blocks of the next step's weights may
 * be sent ahead, as soon as they are updated; the rest follows when the step is committed.
 */
import { createHash } from 'node:crypto';
import type { Layout } from '@lockstep/shared/model/layout.ts';
import { gradientBlocks } from '@lockstep/shared/protocol/blocks.ts';
import { bytesPerFloat, roundFloats } from '@lockstep/shared/protocol/dtype.ts';
import { writeFrame } from '@lockstep/shared/protocol/frame.ts';
import { FramePool, SharedFrame } from '@lockstep/shared/protocol/frame-pool.ts';
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import type { WireDtype } from '@lockstep/shared/protocol/messages.ts';
import { cutParts, type Part } from '@lockstep/shared/protocol/ranges.ts';
import { otherSide, type Side, type Store } from '@lockstep/worker/rank/store.ts';
import type { WireFloats } from '@lockstep/worker/rank/wire-floats.ts';

/** A piece of a step's weights, ready to be sent. */
export interface WeightsFrame {
  readonly step: number;
  /** First float. */
  readonly from: number;
  /** It holds running statistics and no parameter. */
  readonly isStatistics: boolean;
  /** Its memory is lent: see `SharedFrame`. */
  readonly shared: SharedFrame;
}

export interface BroadcastSetup {
  readonly store: Store;
  readonly wire: WireFloats;
  readonly layout: Layout;
  readonly dtype: WireDtype;
  readonly limits: Limits;
  /** Steps between two at which nodes are asked for the hash of what they hold; 0 for never. */
  readonly hashEvery: number;
}

export class WeightsBroadcast {
  readonly dtype: WireDtype;
  /** The pieces in which weights travel: blocks of the gradient, then the running statistics. */
  private readonly pieces: readonly Part[];
  private readonly setup: BroadcastSetup;
  /** Of the newest step, by first float; those of the next one while it is not committed. */
  private encoded = new Map<number, WeightsFrame>();
  private encodedStep = -1;
  private readonly pool: FramePool;
  private side: Side = 0;
  private expected: string | null = null;
  step = -1;

  constructor(setup: BroadcastSetup) {
    const { layout, dtype, limits } = setup;
    this.setup = setup;
    this.dtype = dtype;
    // Frames of the newest step, and of the one before on their way.
    this.pool = new FramePool(2 * bytesPerFloat[dtype] * layout.totalCount);
    this.pieces = [
      ...gradientBlocks(layout, dtype, limits).toSorted((a, b) => a.from - b.from),
      ...cutParts(layout.parameterCount, layout.totalCount, dtype, limits),
    ];
  }

  /** These are the weights now; nothing is encoded before somebody needs it. */
  publish(step: number, side: Side): void {
    this.step = step;
    this.side = side;
    this.expected = null;
  }

  /** Whether nodes answer this step's weights with a hash. */
  get hashed(): boolean {
    return this.isHashed(this.step);
  }

  /**
   * A piece of the weights that the step after the current one will begin with: it lies on the other side. Null for one
   * that has to wait for the commit: a node that has all weights of a step takes the one before for over, and until the
   * commit that one's shards may still be stolen or computed again.
   */
  ahead(range: Part): WeightsFrame | null {
    const { parameterCount, totalCount } = this.setup.layout;
    // Running statistics wait anyway. Where there are none, the first layer's block does: backward finishes it last.
    if (parameterCount === totalCount && range.from === 0) return null;
    return this.encode(this.step + 1, range, otherSide(this.side));
  }

  /** The frames of the current step. */
  frames(): WeightsFrame[] {
    return this.pieces.map((piece) => this.encode(this.step, piece, this.side));
  }

  /** Frames of the current step for a node that is to prove them, whatever the step. */
  framesToProve(): WeightsFrame[] {
    return this.pieces.map((piece) => this.frame(this.step, piece, this.side, true));
  }

  /** SHA-256 that a node must find: over the float32 weights after widening. */
  get sha256(): string {
    if (this.expected === null) {
      const weights = Float32Array.from(this.setup.store.weights(this.side));
      roundFloats(weights, this.dtype);
      this.expected = createHash('sha256').update(new Uint8Array(weights.buffer)).digest('hex');
    }
    return this.expected;
  }

  private isHashed(step: number): boolean {
    const { hashEvery } = this.setup;
    return hashEvery > 0 && step % hashEvery === 0;
  }

  private encode(step: number, piece: Part, side: Side): WeightsFrame {
    if (this.encodedStep !== step) {
      for (const { shared } of this.encoded.values()) shared.done();
      this.encoded = new Map();
      this.encodedStep = step;
    }
    const known = this.encoded.get(piece.from);
    if (known !== undefined) return known;
    const made = this.frame(step, piece, side, this.isHashed(step));
    this.encoded.set(piece.from, made);
    return made;
  }

  private frame(step: number, { from, to }: Part, side: Side, hash: boolean): WeightsFrame {
    const { store, wire, dtype } = this.setup;
    const header = { type: 'weights', step, from, to, dtype, hash };
    const [at, n] = [store.layout.weights[side] + 4 * from, to - from];
    const bytes = writeFrame(
      (size) => this.pool.take(size),
      header,
      n * bytesPerFloat[dtype],
      (target) => wire.narrow(at, n, dtype, target),
    );
    const isStatistics = from >= this.setup.layout.parameterCount;
    return { step, from, isStatistics, shared: new SharedFrame(bytes, this.pool) };
  }
}
