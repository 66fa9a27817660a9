/** A WebSocket client that can break every rule of RFC 6455: the handshake and each frame are made by hand. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameOptions {
  readonly opcode?: number;
  readonly final?: boolean;
  /** Clients have to mask; the mask is zero. */
  readonly masked?: boolean;
  /** What the header claims; the payload's own length unless given. */
  readonly claimed?: number;
  readonly reserved?: number;
}

/** One WebSocket frame. */
export function webSocketFrame(payload: Uint8Array, options: FrameOptions = {}): Buffer<ArrayBuffer> {
  const { opcode = opcodes.binary, final = true, masked = true, reserved = 0 } = options;
  const length = options.claimed ?? payload.length;
  const size = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + size + (masked ? 4 : 0));
  head[0] = (final ? 0x80 : 0) | ((reserved & 7) << 4) | (opcode & 15);
  head[1] = (masked ? 0x80 : 0) | (size === 0 ? length : size === 2 ? 126 : 127);
  if (size === 2) head.writeUInt16BE(length, 2);
  if (size === 8) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

export function upgradeRequest(port: number, changes: Readonly<Record<string, string>> = {}): string {
  const headers: Record<string, string> = {
    Host: `127.0.0.1:${port}`,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
    ...changes,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return ['GET / HTTP/1.1', ...lines, '', ''].join('\r\n');
}

export class RawWebSocket {
  readonly socket: Socket;
  private received = Buffer.alloc(0);
  private upgraded = false;
  private status: string | null = null;
  /** Called with the payload of every binary frame. */
  onFrame: (payload: Buffer) => void = () => undefined;
  private readonly watchers = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => this.take(bytes));
    socket.once('close', () => this.wake());
  }

  /** @throws Error when nobody listens */
  static async open(port: number): Promise<RawWebSocket> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new RawWebSocket(socket);
  }

  get closed(): boolean {
    return this.socket.destroyed;
  }

  /** Sends the upgrade and waits for the answer. @returns whether the other side agreed */
  async upgrade(): Promise<boolean> {
    this.socket.write(upgradeRequest(this.socket.remotePort ?? 0));
    while (!this.upgraded && this.status === null && !this.closed) await this.change(10_000);
    return this.upgraded;
  }

  /** Waits for something to come, or for the end, or for the time to pass. */
  change(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.watchers.delete(done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.watchers.add(done);
      if (this.closed) done();
    });
  }

  private wake(): void {
    for (const watcher of this.watchers) watcher();
  }

  private take(bytes: Buffer): void {
    this.received = Buffer.concat([this.received, bytes]);
    if (!this.upgraded) {
      const end = this.received.indexOf('\r\n\r\n');
      if (end >= 0) {
        this.status = this.received.subarray(0, 12).toString('latin1');
        this.upgraded = this.status === 'HTTP/1.1 101';
        this.received = this.received.subarray(end + 4);
      }
    }
    while (this.upgraded && this.takeFrame());
    this.wake();
  }

  private takeFrame(): boolean {
    const { received } = this;
    if (received.length < 2) return false;
    const short = (received[1] as number) & 127;
    const start = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (received.length < start) return false;
    const length =
      short === 126 ? received.readUInt16BE(2) : short === 127 ? Number(received.readBigUInt64BE(2)) : short;
    if (received.length < start + length) return false;
    this.received = received.subarray(start + length);
    if (((received[0] as number) & 15) === opcodes.binary)
      this.onFrame(received.subarray(start, start + length));
    return true;
  }
}
