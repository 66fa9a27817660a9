/** The coordinator's side of one connection: frames in and out, past the guard, with times and counts. */
import type { Socket } from 'node:net';
import type { ErrorCode } from '@lockstep/shared/base/errors.ts';
import { receiveFromNode } from '@lockstep/shared/protocol/door.ts';
import { encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { largestFrameBytes, type Limits } from '@lockstep/shared/protocol/limits.ts';
import type { CoordinatorToNode, NodeToCoordinator } from '@lockstep/shared/protocol/messages.ts';
import {
  judgeNodeTime,
  noteNodeAlive,
  noteWelcomed,
  type NodeGuard,
  openNodeGuard,
} from '@lockstep/shared/protocol/node-guard.ts';
import type { FrameReading } from '@lockstep/worker/node/frame-reading.ts';
import { Outbox } from '@lockstep/worker/node/outbox.ts';
import type { Terms } from '@lockstep/shared/protocol/terms.ts';
import type { WebSocket } from 'ws';
import { decideReader } from './presence.ts';

/** A connection that has become a WebSocket, and how it is read. */
export interface Connection {
  readonly socket: WebSocket;
  readonly raw: Socket;
  readonly reading: FrameReading;
}

export interface LinkEvents {
  /** A message that passed the guard. */
  readonly onMessage: (message: NodeToCoordinator, payload: Uint8Array) => void;
  /** Called once, whatever ended the connection. @param code null when the network or the node did */
  readonly onEnd: (code: ErrorCode | null, reason: string) => void;
}

/** Milliseconds that a dropped peer has to read why. */
const lastWords = 300;
/** Times the usual silence that a node may keep before it is ready. */
const patience = 10;

export class NodeLink {
  readonly outbox: Outbox;
  readonly address: string;
  guard: NodeGuard;
  bytesReceived = 0;
  /** Settled when nothing of the connection is left: the peer has read everything, or had its time to. */
  readonly gone: Promise<void>;
  private readonly socket: WebSocket;
  private readonly events: LinkEvents;
  private readonly reading: FrameReading;
  private ended = false;

  constructor({ socket, raw, reading }: Connection, limits: Limits, events: LinkEvents) {
    this.socket = socket;
    this.events = events;
    this.address = `${raw.remoteAddress ?? '?'}:${raw.remotePort ?? 0}`;
    this.guard = openNodeGuard(limits, performance.now());
    this.outbox = new Outbox(socket, limits.partBytes);
    this.outbox.stream = raw;
    socket.binaryType = 'nodebuffer';
    this.reading = reading;
    reading.onBytes = (count) => this.countBytes(count);
    socket.on('message', (data, binary) => this.take(data as Buffer, binary));
    socket.on('error', (error: Error & { code?: string }) => {
      const tooLarge = error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH';
      this.end(tooLarge ? 'FRAME_TOO_LARGE' : 'FRAME_MALFORMED', error.message);
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    socket.on('close', () => {
      resolve();
      this.end(null, 'the connection was closed');
    });
  }

  get isOpen(): boolean {
    return !this.ended;
  }

  /** It may join. */
  welcome(message: CoordinatorToNode, terms: Terms): void {
    this.send(message);
    this.guard = noteWelcomed(this.guard, terms);
    this.reading.frames.largest = largestFrameBytes(this.guard.limits);
  }

  /** Sends a message in front of whatever waits. */
  send(message: CoordinatorToNode, ...payload: ArrayBufferView[]): void {
    if (!this.ended) this.outbox.urgent(encodeFrame(message, ...payload));
  }

  /** Puts a frame that is already made behind what waits. @param done its bytes are not needed here any more */
  push(key: string, frame: Uint8Array, done: () => void = () => {}): void {
    if (this.ended) done();
    else this.outbox.push({ key, frame: () => frame, done });
  }

  /** Whether the peer keeps the times; drops it when it does not. @param paused this process itself slept */
  tick(paused: boolean): void {
    if (this.ended) return;
    const now = performance.now();
    if (paused) this.guard = noteNodeAlive(this.guard, now);
    // A node that prepares may be silent for longer: it reads data and holds no shards.
    const preparing =
      this.guard.phase === 'joined' && now - this.guard.heardAt < patience * this.guard.limits.silence;
    const trouble =
      (preparing ? null : judgeNodeTime(this.guard, now)) ??
      (paused ? null : decideReader(this.outbox.stalled(), this.guard.limits));
    if (trouble !== null) this.drop(trouble.code, trouble.reason);
  }

  /** Ends the connection and says why; nothing that comes now counts. */
  drop(code: ErrorCode, reason: string, advice = ''): void {
    if (this.ended) return;
    this.send({ type: 'refused', code, reason: reason.slice(0, 2000), advice: advice.slice(0, 2000) });
    this.close();
    this.end(code, reason);
  }

  /**
   * Ends the connection in peace. A node that is busy, or stands still, has as long as it may be silent to read what is
   * under way, of which the goodbye is the last.
   */
  goodbye(reason: string, again: boolean): void {
    if (this.ended) return;
    this.send({ type: 'goodbye', reason, again });
    const { phase, limits } = this.guard;
    this.close(phase === 'joined' || phase === 'ready' ? limits.silence : lastWords);
    this.end(null, reason);
  }

  private close(wait: number = lastWords): void {
    this.outbox.clear();
    this.socket.close(1000);
    setTimeout(() => this.socket.terminate(), wait).unref();
  }

  private countBytes(length: number): void {
    this.bytesReceived += length;
    const { phase, limits } = this.guard;
    this.guard = noteNodeAlive(this.guard, performance.now());
    // A stranger who sends no whole frame is stopped before the frame is put together.
    if ((phase === 'hello' || phase === 'deciding') && this.bytesReceived > 2 * limits.helloFrameBytes) {
      this.drop('FRAME_TOO_LARGE', `${this.bytesReceived} bytes before the hello was accepted`);
    }
  }

  private take(data: Buffer, binary: boolean): void {
    if (this.ended) return;
    if (!binary) return this.drop('FRAME_MALFORMED', 'a text message; this protocol is binary');
    const { guard, received } = receiveFromNode(this.guard, data, performance.now());
    this.guard = guard;
    if (received.kind === 'drop') return this.drop(received.code, received.reason);
    if (received.kind !== 'accept') return;
    try {
      this.events.onMessage(received.message, received.payload);
      // Its floats have been copied to where they belong.
      if (received.message.type === 'gradient-part') this.reading.frames.release(data);
    } catch (thrown) {
      // A defect of ours that one node brings to light must not end the run of all.
      this.drop('INTERNAL', thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  private end(code: ErrorCode | null, reason: string): void {
    if (this.ended) return;
    this.ended = true;
    if (code !== null) this.close();
    this.events.onEnd(code, reason);
  }
}
