/**
 * What waits to be sent on one connection. Frames are made when their turn comes and only while little is
 * unsent, so a slow reader costs no memory, and a heartbeat never stands behind more than a part or two.
 */

/** The part of a WebSocket that is needed here. */
export interface Wire {
  readonly bufferedAmount: number;
  send(bytes: Uint8Array, done: (error?: Error | null) => void): void;
}

/** A stream that keeps what is written until it is told to let go, as `net.Socket` does. */
export interface Stream {
  cork(): void;
  uncork(): void;
}

export interface Outgoing {
  /** What it belongs to, so that it can be taken back: an assignment, `weights`. */
  readonly key: string;
  /** The frame; null when it turned out that there is none to send. Called once. */
  readonly frame: () => Uint8Array | null;
  /** Called once, when the frame's bytes are not needed any more: it is sent, or taken back. */
  readonly done?: () => void;
}

export class Outbox {
  private readonly wire: Wire;
  private readonly highWater: number;
  private readonly now: () => number;
  private queue: Outgoing[] = [];
  private unsent = 0;
  private busySince: number | null = null;
  private busyMilliseconds = 0;
  /** When the last frame was handed to the network, or there was nothing to send. */
  private movedAt: number;
  private isGathering = false;
  bytesSent = 0;
  /** What the wire writes to; frames of one turn then leave together, and wake the peer once. */
  stream: Stream | null = null;

  /** @param highWater unsent bytes above which frames wait */
  constructor(wire: Wire, highWater: number, now: () => number = () => performance.now()) {
    this.wire = wire;
    this.highWater = highWater;
    this.now = now;
    this.movedAt = now();
  }

  /** Puts a frame behind the others. */
  push(item: Outgoing): void {
    this.queue.push(item);
    this.pump();
  }

  /** Sends a frame in front of everything that waits. */
  urgent(frame: Uint8Array): void {
    this.transmit(frame);
  }

  /** Takes back what has not been made yet. */
  takeBack(key: string): void {
    this.clear((item) => item.key === key);
  }

  /** Takes back all that has not been made yet, or all of a kind. */
  clear(unwanted: (item: Outgoing) => boolean = () => true): void {
    const taken = this.queue.filter(unwanted);
    this.queue = this.queue.filter((item) => !unwanted(item));
    for (const { done } of taken) done?.();
  }

  holds(key: string): boolean {
    return this.queue.some((item) => item.key === key);
  }

  /** Frames handed over or waiting. */
  get length(): number {
    return this.queue.length + this.unsent;
  }

  /** Milliseconds for which nothing has moved although something waits. */
  stalled(): number {
    return this.unsent === 0 ? 0 : this.now() - this.movedAt;
  }

  /** Milliseconds during which there was something to send. */
  get busy(): number {
    return this.busyMilliseconds + (this.busySince === null ? 0 : this.now() - this.busySince);
  }

  private pump(): void {
    while (this.queue.length > 0 && this.wire.bufferedAmount < this.highWater) {
      const { frame, done } = this.queue.shift() as Outgoing;
      const bytes = frame();
      if (bytes !== null) this.transmit(bytes, done);
      else done?.();
    }
  }

  private gather(): void {
    const { stream } = this;
    if (stream === null || this.isGathering) return;
    this.isGathering = true;
    stream.cork();
    queueMicrotask(() => {
      this.isGathering = false;
      stream.uncork();
    });
  }

  private transmit(frame: Uint8Array, done?: () => void): void {
    if (this.unsent === 0) {
      this.movedAt = this.now();
      this.busySince = this.movedAt;
    }
    this.gather();
    this.unsent += 1;
    this.bytesSent += frame.length;
    this.wire.send(frame, () => {
      done?.();
      this.unsent -= 1;
      this.movedAt = this.now();
      if (this.unsent === 0 && this.busySince !== null) {
        this.busyMilliseconds += this.movedAt - this.busySince;
        this.busySince = null;
      }
      this.pump();
    });
  }
}
