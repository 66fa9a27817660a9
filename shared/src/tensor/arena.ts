/** An arena: one shared WebAssembly.Memory, and typed views of its SharedArrayBuffer. */
import { LockstepError } from '../base/errors.ts';

const pageBytes = 65536;

/** Memory that kernels of this and of other threads read and write. */
export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly floats: Float32Array<SharedArrayBuffer>;
  readonly integers: Int32Array<SharedArrayBuffer>;
  readonly doubles: Float64Array<SharedArrayBuffer>;

  /** Wraps a memory that some thread has allocated. */
  constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
    const buffer = memory.buffer as unknown as SharedArrayBuffer;
    this.bytes = new Uint8Array(buffer);
    this.floats = new Float32Array(buffer);
    this.integers = new Int32Array(buffer);
    this.doubles = new Float64Array(buffer);
  }

  /**
   * Allocates an arena of fixed size, filled with zeros. The system gives pages as they are first touched.
   *
   * @param bytes at most 4 GiB; rounded up to whole pages of 64 KiB
   * @throws LockstepError ARENA_TOO_LARGE when WebAssembly or the machine cannot give that much
   */
  static allocate(bytes: number): Arena {
    const pages = Math.ceil(bytes / pageBytes);
    try {
      return new Arena(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }));
    } catch (cause) {
      throw new LockstepError(
        'ARENA_TOO_LARGE',
        `An arena of ${(bytes / 2 ** 20).toFixed(0)} MiB cannot be allocated.`,
        'Take more shardsPerStep, a smaller batchSize or fewer threads.',
        { bytes },
        cause,
      );
    }
  }

  /** float32 `[length]` at a byte offset. */
  float32(offset: number, length: number): Float32Array<SharedArrayBuffer> {
    return this.floats.subarray(offset / 4, offset / 4 + length);
  }

  /** float64 `[length]` at a byte offset, a multiple of 8. */
  float64(offset: number, length: number): Float64Array<SharedArrayBuffer> {
    return this.doubles.subarray(offset / 8, offset / 8 + length);
  }

  /** int32 `[length]` at a byte offset. */
  int32(offset: number, length: number): Int32Array<SharedArrayBuffer> {
    return this.integers.subarray(offset / 4, offset / 4 + length);
  }
}
