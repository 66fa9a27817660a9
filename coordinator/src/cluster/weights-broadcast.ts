/** The weights as frames: encoded once a step, sent as often as there are nodes. */
import { createHash } from 'node:crypto';
import { encodeFloats, roundFloats } from '@lockstep/shared/protocol/dtype.ts';
import { encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import type { WireDtype } from '@lockstep/shared/protocol/messages.ts';
import { cutParts } from '@lockstep/shared/protocol/ranges.ts';
import type { Side, Store } from '@lockstep/worker/rank/store.ts';

export class WeightsBroadcast {
  readonly dtype: WireDtype;
  private readonly store: Store;
  private readonly limits: Limits;
  /** Steps between two at which nodes are asked for the hash of what they hold; 0 for never. */
  private readonly hashEvery: number;
  private encoded: readonly Uint8Array[] | null = null;
  private side: Side = 0;
  private expected: string | null = null;
  step = -1;

  constructor(store: Store, dtype: WireDtype, limits: Limits, hashEvery: number) {
    this.store = store;
    this.dtype = dtype;
    this.limits = limits;
    this.hashEvery = hashEvery;
  }

  /** These are the weights now; nothing is encoded before somebody needs it. */
  publish(step: number, side: Side): void {
    this.step = step;
    this.side = side;
    this.encoded = null;
    this.expected = null;
  }

  /** Whether nodes answer this step's weights with a hash. */
  get hashed(): boolean {
    return this.hashEvery > 0 && this.step % this.hashEvery === 0;
  }

  /** The frames of the current step. */
  frames(): readonly Uint8Array[] {
    this.encoded ??= this.encode(this.hashed);
    return this.encoded;
  }

  /** Frames of the current step for a node that is to prove them, whatever the step. */
  framesToProve(): readonly Uint8Array[] {
    return this.hashed ? this.frames() : this.encode(true);
  }

  /** SHA-256 that a node must find: over the float32 weights after widening. */
  get sha256(): string {
    if (this.expected === null) {
      const weights = Float32Array.from(this.store.weights(this.side));
      roundFloats(weights, this.dtype);
      this.expected = createHash('sha256').update(new Uint8Array(weights.buffer)).digest('hex');
    }
    return this.expected;
  }

  private encode(hash: boolean): Uint8Array[] {
    const { dtype, step } = this;
    const weights = this.store.weights(this.side);
    return cutParts(0, weights.length, dtype, this.limits).map(({ from, to }) =>
      encodeFrame(
        { type: 'weights', step, from, to, dtype, hash },
        encodeFloats(weights.subarray(from, to), dtype).bytes,
      ),
    );
  }
}
