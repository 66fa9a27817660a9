/** A node that says what it is told to: joins as a real one does and computes nothing. */
import { once } from 'node:events';
import { decodeFrame, encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits, largestFrameBytes } from '@lockstep/shared/protocol/limits.ts';
import { protocolVersion } from '@lockstep/shared/protocol/messages.ts';
import { examineMachine } from '@lockstep/worker/node/fingerprints.ts';
import { WebSocket } from 'ws';
import { testToken } from './cluster.ts';

export type Message = Record<string, unknown> & { readonly type: string };

/** Longest time that something may take to come (s). */
const patience = 60;

export class FakeNode {
  readonly heard: Message[] = [];
  readonly closed: Promise<void>;
  /** Called with every message that comes. */
  onHeard: (message: Message) => void = () => {};
  private readonly socket: WebSocket;
  private readonly waiting = new Set<() => void>();
  private greeted = false;
  private isGone = false;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    void this.closed.then(() => {
      this.isGone = true;
      for (const wake of this.waiting) wake();
    });
    socket.on('error', () => {});
    socket.on('message', (data) => {
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

  /** Connects. What a hello tells of this machine is measured before that: no coordinator waits long for a hello. */
  static async open(port: number): Promise<FakeNode> {
    await fingerprints();
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const fake = new FakeNode(socket);
    await once(socket, 'open');
    return fake;
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
    this.greeted = true;
    const welcome = await this.hear('welcome');
    const { train, test } = welcome['dataset'] as { train: { sha256: string }; test: { sha256: string } };
    const dataset = { train: train.sha256, test: test.sha256, ...data };
    this.say({ type: 'ready', dataset, ranks: 1, imagesPerSecond });
    return welcome;
  }

  /** Says that it lives, from its hello until the connection ends. */
  beat(milliseconds: number): void {
    const nothing = { computing: 0, queued: 0, computeSeconds: 0, waitSeconds: 0, sendSeconds: 0 };
    const timer = setInterval(() => {
      if (this.greeted) this.say({ type: 'heartbeat', sentAt: 0, ...nothing });
    }, milliseconds);
    void this.closed.then(() => clearInterval(timer));
  }

  /** Takes nothing more from the network: what is sent to it stays on the way. */
  stopReading(): void {
    this.socket.pause();
  }

  /** The first message of a type. @throws Error when it does not come, with what was heard */
  async hear(type: string): Promise<Message> {
    const find = (): Message | undefined => this.heard.find((message) => message.type === type);
    await this.until(type, () => find() !== undefined);
    return find() as Message;
  }

  /** Waits until what was heard is as it should be. @throws Error when the connection ends first, or after a minute */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const end = performance.now() + patience * 1000;
    while (!isSo()) {
      if (this.isGone || performance.now() > end)
        throw new Error(`no ${what}: ${JSON.stringify(this.heard).slice(0, 500)}`);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, 1000);
        this.waiting.add(wake);
      });
    }
  }
}

let measured: Promise<unknown> | null = null;

/** Kernels are measured for these; once is enough. */
function fingerprints(): Promise<unknown> {
  measured ??= examineMachine().then((machine) => machine.fingerprints);
  return measured;
}

/** A hello that a coordinator takes. */
export async function fakeHello(change: Record<string, unknown> = {}): Promise<Message> {
  return {
    type: 'hello',
    protocolVersion,
    token: testToken,
    instance: '0123456789abcdef0123456789abcdef',
    name: 'fake',
    threads: 1,
    gigaflops: 1,
    fingerprints: await fingerprints(),
    runtime: { lockstep: '0', node: '0', platform: 'fake' },
    ...change,
  };
}
