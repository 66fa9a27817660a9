/** A node that says what it is told to: joins as a real one does and computes nothing. */
import { decodeFrame, encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits, largestFrameBytes } from '@lockstep/shared/protocol/limits.ts';
import { protocolVersion } from '@lockstep/shared/protocol/messages.ts';
import { examineMachine } from '@lockstep/worker/node/fingerprints.ts';
import { WebSocket } from 'ws';
import { testToken } from './cluster.ts';

export type Message = Record<string, unknown> & { readonly type: string };

export class FakeNode {
  readonly heard: Message[] = [];
  readonly closed: Promise<void>;
  /** Called with every message that comes. */
  onHeard: (message: Message) => void = () => {};
  private readonly socket: WebSocket;
  private readonly waiting = new Set<() => void>();

  constructor(port: number) {
    this.socket = new WebSocket(`ws://127.0.0.1:${port}`);
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
    this.socket.on('error', () => {});
    this.socket.on('message', (data) => {
      const frame = decodeFrame(
        new Uint8Array(data as Buffer),
        defaultLimits,
        largestFrameBytes(defaultLimits),
      );
      if (frame.ok) {
        this.heard.push(frame.header as Message);
        this.onHeard(frame.header as Message);
      }
      for (const wake of this.waiting) wake();
    });
  }

  async open(): Promise<void> {
    await new Promise((resolve) => this.socket.once('open', resolve));
  }

  say(header: Message, ...payload: ArrayBufferView[]): void {
    this.raw(encodeFrame(header, ...payload));
  }

  raw(bytes: Uint8Array | string): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(bytes);
  }

  /**
   * From the hello to `ready`.
   *
   * @param imagesPerSecond what it claims to be able to do
   * @param change fields of the hello
   * @param data hashes that it claims to have, instead of the run's
   */
  async join(
    imagesPerSecond: number,
    change: Record<string, unknown> = {},
    data: Record<string, string> = {},
  ): Promise<Message> {
    this.say(await fakeHello(change));
    const welcome = await this.hear('welcome');
    const { train, test } = welcome['dataset'] as { train: { sha256: string }; test: { sha256: string } };
    const dataset = { train: train.sha256, test: test.sha256, ...data };
    this.say({ type: 'ready', dataset, ranks: 1, imagesPerSecond });
    return welcome;
  }

  /** Says that it lives, until the connection ends. */
  beat(milliseconds: number): void {
    const nothing = { computing: 0, queued: 0, computeSeconds: 0, waitSeconds: 0, sendSeconds: 0 };
    const timer = setInterval(() => this.say({ type: 'heartbeat', sentAt: 0, ...nothing }), milliseconds);
    void this.closed.then(() => clearInterval(timer));
  }

  /** Takes nothing more from the network: what is sent to it stays on the way. */
  stopReading(): void {
    this.socket.pause();
  }

  /** The first message of a type. @throws Error after 20 s, with what was heard */
  async hear(type: string): Promise<Message> {
    for (;;) {
      const found = this.heard.find((message) => message.type === type);
      if (found !== undefined) return found;
      await new Promise<void>((resolve, reject) => {
        const trouble = (): Error => new Error(`no ${type}: ${JSON.stringify(this.heard).slice(0, 500)}`);
        const timer = setTimeout(() => reject(trouble()), 20_000);
        const wake = (): void => {
          clearTimeout(timer);
          this.waiting.delete(wake);
          resolve();
        };
        this.waiting.add(wake);
      });
    }
  }
}

const machine: { fingerprints: unknown } = { fingerprints: null };

/** A hello that a coordinator takes. */
export async function fakeHello(change: Record<string, unknown> = {}): Promise<Message> {
  // Kernels are measured for this; once is enough.
  machine.fingerprints ??= (await examineMachine()).fingerprints;
  const { fingerprints } = machine;
  return {
    type: 'hello',
    protocolVersion,
    token: testToken,
    instance: '0123456789abcdef0123456789abcdef',
    name: 'fake',
    threads: 1,
    gigaflops: 1,
    fingerprints,
    runtime: { lockstep: '0', node: '0', platform: 'fake' },
    ...change,
  };
}
