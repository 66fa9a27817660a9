/**
 * Memory of large frames. V8 frees a buffer long after its last use, counts it as pressure until then, and the next one
 * comes from the system page by page; so frames that are sent lend their memory to the next, and those that were read
 * give it back at once.
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

/** Chunks (64 KiB each) that wait for one message: four times the largest. More than that is left to V8. */
const mostChunks = 64;

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

/** Frees what a frame was received in. Nobody may look at it, or at views of it, afterwards. */
export function freeReceived(bytes: Uint8Array): void {
  const { buffer } = bytes;
  // Small ones lie together with others in one piece of memory.
  if (bytes.byteLength < smallest || bytes.byteLength !== buffer.byteLength) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/**
 * What a socket has read, until the WebSocket above it has taken it over. A message that ends ends in the newest chunk:
 * all older ones have been copied by then, and are freed.
 */
export class ReceivedChunks {
  private older: Uint8Array[] = [];

  /** Called for each chunk, after the WebSocket has had it. */
  add(chunk: Uint8Array): void {
    if (chunk.byteLength < smallest) return;
    // A peer that sends pings and no messages would have them pile up.
    if (this.older.length >= mostChunks) this.older = [];
    this.older.push(chunk);
  }

  /** Chunks that wait to be freed. */
  get length(): number {
    return this.older.length;
  }

  /**
   * Called with each message, before the chunk that it ends in is added.
   *
   * @returns the message in memory of its own: a small one is a view of that chunk, which will be freed with the others
   */
  take(message: Buffer): Buffer {
    for (const chunk of this.older) freeReceived(chunk);
    this.older = [];
    return message.byteLength === message.buffer.byteLength ? message : Buffer.from(message);
  }
}
