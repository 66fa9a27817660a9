/**
 * Floats of the store as they travel, and back again, in the main thread: by the vector kernels, a piece at a time, by way of
 * the thread's own scratch. A loop of JavaScript over as many takes several times as long (docs/log.md).
 */
import type { KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import { dtypeCodes } from '@lockstep/shared/kernels/short-floats.ts';
import { bytesPerFloat } from '@lockstep/shared/protocol/dtype.ts';
import type { WireDtype } from '@lockstep/shared/protocol/messages.ts';
import { chunkFloats, type Store } from './store.ts';

/** Short floats that fit into the scratch. */
const pieceFloats = 2 * chunkFloats;

export class WireFloats {
  private readonly store: Store;
  private readonly kernels: KernelInstance;
  /** Byte offset of the main thread's scratch. */
  private readonly scratch: number;

  constructor(store: Store, kernels: KernelInstance) {
    this.store = store;
    this.kernels = kernels;
    this.scratch = store.scratchOf(store.layout.ranks);
  }

  /**
   * Writes n floats from byte offset `at` of the store as they travel.
   *
   * @param target `n * bytesPerFloat[dtype]` bytes
   */
  narrow(at: number, n: number, dtype: WireDtype, target: Uint8Array): void {
    const { bytes } = this.store.arena;
    if (target.length !== n * bytesPerFloat[dtype]) throw wrongLength(target.length, n, dtype);
    if (dtype === 'f32') return target.set(bytes.subarray(at, at + 4 * n));
    for (let from = 0; from < n; from += pieceFloats) {
      const count = Math.min(pieceFloats, n - from);
      this.kernels.narrowFloats(at + 4 * from, count, dtypeCodes[dtype], this.scratch);
      target.set(bytes.subarray(this.scratch, this.scratch + 2 * count), 2 * from);
    }
  }

  /** Puts n floats that travelled into the store from byte offset `at` on. @param payload as `narrow` made it */
  widen(payload: Uint8Array, dtype: WireDtype, at: number, n: number): void {
    const { bytes } = this.store.arena;
    if (payload.length !== n * bytesPerFloat[dtype]) throw wrongLength(payload.length, n, dtype);
    if (dtype === 'f32') return bytes.set(payload, at);
    for (let from = 0; from < n; from += pieceFloats) {
      const count = Math.min(pieceFloats, n - from);
      bytes.set(payload.subarray(2 * from, 2 * (from + count)), this.scratch);
      this.kernels.widenFloats(this.scratch, count, dtypeCodes[dtype], at + 4 * from);
    }
  }

  /** How many of n floats from byte offset `at` on are NaN or infinite. */
  countNonFinite(at: number, n: number): number {
    return this.kernels.countNonFinite(at, n) ?? 0;
  }
}

function wrongLength(bytes: number, n: number, dtype: WireDtype): RangeError {
  return new RangeError(`${bytes} bytes for ${n} floats of ${dtype}`);
}
