/**
 * Where the bytes of a WebSocket connection are read to. A large frame lands in one piece of memory, which is lent again
 * and again, instead of in many small ones that are put together afterwards. Knows nothing of sockets: bytes in, bytes
 * out, in order and unchanged.
 */
import { FramePool } from './frame-pool.ts';

/**
 * Where bytes are read to while no large frame is coming, and copied from at once: one for all connections, since a read
 * and what is done with it are one call. So a connection that only says hello costs no memory.
 */
const anteroom = Buffer.allocUnsafeSlow(16_384);
/** Frames of this size and more are gathered. */
const gatherFrom = 2 * anteroom.length;
/** Bytes that wait for their next message, at most. */
const pooledBytes = 4 * 2 ** 20;
/** Bytes of a WebSocket frame's header at most (RFC 6455, 5.2). */
const longestHeader = 14;

/** Header and payload of the WebSocket frame that begins at `at`; null when its header is not whole. */
function measure(bytes: Uint8Array, at: number): { readonly header: number; readonly size: number } | null {
  const [first, second] = [bytes[at], bytes[at + 1]];
  if (first === undefined || second === undefined) return null;
  const short = second & 127;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  const header = 2 + lengthBytes + (second >= 128 ? 4 : 0);
  if (bytes.length - at < header) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, header);
  const payload =
    lengthBytes === 0 ? short : lengthBytes === 2 ? view.getUint16(2) : Number(view.getBigUint64(2));
  return { header, size: header + payload };
}

export interface WholeFramesOptions {
  /** Payload bytes of the largest frame that is gathered; a larger one is passed on as it comes, for others to refuse. */
  readonly largest: number;
  /** Whether an HTTP response comes before the first frame. */
  readonly preface: boolean;
}

export class WholeFrames {
  /** As in the options. A stranger's frames need not be gathered before it is known. */
  largest: number;
  private readonly pool: FramePool;
  private readonly lent = new WeakSet<ArrayBufferLike>();
  /** The frame that is being gathered. */
  private whole: Uint8Array | null = null;
  private filled = 0;
  /** Bytes to come of a frame that is passed on as it comes. */
  private passing = 0;
  /** The first bytes of a header that is not whole. */
  private begun: Uint8Array = new Uint8Array(0);
  /** The end of what came before the first frame; null when that is behind us. */
  private preface: string | null;

  constructor({ largest, preface }: WholeFramesOptions) {
    this.largest = largest;
    this.preface = preface ? '' : null;
    this.pool = new FramePool(pooledBytes);
  }

  /** Where the next bytes are to be read to, and told of with `take` before anybody else reads. */
  room(): Uint8Array {
    return this.whole === null ? anteroom : this.whole.subarray(this.filled);
  }

  /** So many bytes were read to `room()`. @returns what can be passed on, in order */
  take(count: number): Uint8Array[] {
    if (this.whole !== null) {
      const { whole } = this;
      this.filled += count;
      if (this.filled < whole.length) return [];
      this.whole = null;
      return [whole];
    }
    return this.pass(Buffer.from(anteroom.subarray(0, count)));
  }

  /** Bytes that were read elsewhere, whatever they belong to: those of a large frame are copied. @returns as `take` */
  feed(bytes: Uint8Array): Uint8Array[] {
    const { whole } = this;
    if (whole === null) return this.pass(bytes);
    const count = Math.min(bytes.length, whole.length - this.filled);
    whole.set(bytes.subarray(0, count), this.filled);
    const done = this.take(count);
    return count === bytes.length ? done : [...done, ...this.pass(bytes.subarray(count))];
  }

  /** Bytes of no frame that is being gathered, read elsewhere. @returns what of them can be passed on now */
  pass(bytes: Uint8Array): Uint8Array[] {
    let at = this.endOfPreface(bytes);
    if (this.begun.length > 0) {
      const known = this.begun.length;
      const start = Buffer.concat([this.begun, bytes.subarray(0, longestHeader)]);
      const frame = measure(start, 0);
      this.begun = frame === null ? start : new Uint8Array(0);
      if (frame === null) return [bytes];
      this.passing = frame.size - known;
    }
    for (;;) {
      const step = Math.min(this.passing, bytes.length - at);
      this.passing -= step;
      at += step;
      if (at === bytes.length) return [bytes];
      const frame = measure(bytes, at);
      if (frame === null) {
        this.begun = bytes.slice(at);
        return [bytes];
      }
      if (
        at + frame.size > bytes.length &&
        frame.size >= gatherFrom &&
        frame.size - frame.header <= this.largest
      ) {
        this.gather(frame, bytes.subarray(at));
        return at === 0 ? [] : [bytes.subarray(0, at)];
      }
      this.passing = frame.size;
    }
  }

  /** Nobody looks at a message any more, or at views of it: its memory is for the next one, if it is ours. */
  release({ buffer }: Uint8Array): void {
    if (this.lent.delete(buffer)) this.pool.give(new Uint8Array(buffer as ArrayBuffer));
  }

  private gather({ header, size }: { header: number; size: number }, first: Uint8Array): void {
    // The payload is to lie at a multiple of 8.
    const lead = (8 - (header % 8)) % 8;
    const memory = this.pool.take(lead + size);
    this.lent.add(memory.buffer);
    this.whole = memory.subarray(lead);
    this.whole.set(first);
    this.filled = first.length;
  }

  /** Index of the first byte behind the HTTP response: all of `bytes` while that goes on. */
  private endOfPreface(bytes: Uint8Array): number {
    if (this.preface === null) return 0;
    const before = this.preface.length;
    const text = this.preface + Buffer.from(bytes).toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    this.preface = end < 0 ? text.slice(-3) : null;
    return end < 0 ? bytes.length : end + 4 - before;
  }
}
