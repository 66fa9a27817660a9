/**
 * Memory of large frames. V8 frees a buffer long after its last use, counts it as pressure until then, and the next one
 * comes from the system page by page; so frames that are sent, or were read, lend their memory to the next.
 */

/** Memory is lent in multiples of this, so that frames that differ by a digit in their headers can share it. */
const blockBytes = 4096;

/** Below this the heap is as good. */
const smallest = 4 * blockBytes;

export class FramePool {
  private readonly largest: number;
  private readonly free = new Map<number, Uint8Array<ArrayBuffer>[]>();
  private held = 0;

  /** @param largest bytes that wait for their next use, at most; what is above goes to the garbage collector */
  constructor(largest: number) {
    this.largest = largest;
  }

  /** Memory for a frame; it holds what the last one left there. */
  take(bytes: number): Uint8Array<ArrayBuffer> {
    const blocks = Math.ceil(bytes / blockBytes);
    const memory = this.free.get(blocks)?.pop();
    if (memory !== undefined) this.held -= memory.length;
    const made = memory ?? Buffer.allocUnsafeSlow(blocks * blockBytes);
    return new Uint8Array(made.buffer, 0, bytes);
  }

  /** A frame that this pool lent is not needed any more. */
  give({ buffer }: Uint8Array<ArrayBuffer>): void {
    if (buffer.byteLength < smallest || this.held + buffer.byteLength > this.largest) return;
    const blocks = buffer.byteLength / blockBytes;
    const others = this.free.get(blocks);
    if (others === undefined) this.free.set(blocks, [new Uint8Array(buffer)]);
    else others.push(new Uint8Array(buffer));
    this.held += buffer.byteLength;
  }
}

/** A frame with several readers: its memory goes back when the last one is done. */
export class SharedFrame {
  readonly bytes: Uint8Array<ArrayBuffer>;
  private readonly pool: FramePool;
  /** Its maker is the first. */
  private users = 1;

  constructor(bytes: Uint8Array<ArrayBuffer>, pool: FramePool) {
    this.bytes = bytes;
    this.pool = pool;
  }

  use(): void {
    this.users += 1;
  }

  done(): void {
    this.users -= 1;
    if (this.users === 0) this.pool.give(this.bytes);
  }
}
