/**
 * A TCP proxy on loopback whose link can be made bad: slow, late, dead in one direction, or damaging.
 * A cut holds bytes back and delivers them later, as TCP does over a link that drops packets: nothing is lost.
 * Losing or changing bytes of the stream is a damage of its own.
 */
import { createServer, type Server, type Socket, connect } from 'node:net';
import { once } from 'node:events';

/** up: from the client (node) to the server (coordinator). */
export type Direction = 'up' | 'down';

export interface LinkConditions {
  /** One-way delay in milliseconds. */
  readonly delay: number;
  /** Bytes a second in each direction; Infinity: as fast as it goes. */
  readonly rate: number;
  /** A black hole: bytes that enter stay inside until it is lifted. */
  readonly hold: boolean;
}

/** What happens once to the next bytes of one direction, `after` bytes from now. */
export interface Damage {
  /** flip: one bit is inverted. drop: `bytes` are left out. truncate: the stream ends there. */
  readonly kind: 'flip' | 'drop' | 'truncate';
  readonly after: number;
  readonly bytes: number;
  readonly bit: number;
}

export const goodLink: LinkConditions = { delay: 0, rate: Number.POSITIVE_INFINITY, hold: false };

/** Bytes inside one direction of one connection above which its source is not read any more. */
const mostBytesInside = 1 << 20;

/** One direction of one connection. */
class Pipe {
  private readonly source: Socket;
  private readonly target: Socket;
  private readonly link: () => LinkConditions;
  private readonly damages: Damage[] = [];
  private readonly queue: { readonly bytes: Buffer; readonly due: number }[] = [];
  private inside = 0;
  /** When the link is free for the next bytes. */
  private free = 0;
  private timer: NodeJS.Timeout | null = null;
  private over = false;
  passed = 0;
  /** Damages that were done. */
  done = 0;

  constructor(source: Socket, target: Socket, link: () => LinkConditions) {
    this.source = source;
    this.target = target;
    this.link = link;
    source.on('data', (bytes: Buffer) => this.take(bytes));
    source.once('end', () => {
      this.over = true;
      this.pump();
    });
  }

  damage(damage: Damage): void {
    this.damages.push({ ...damage, after: this.passed + this.inside + damage.after });
  }

  /** Sends what is due; called again when the link changes. */
  pump(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const link = this.link();
    if (link.hold) return;
    for (;;) {
      const next = this.queue[0];
      if (next === undefined) break;
      const now = performance.now();
      const wait = Math.max(next.due + link.delay, this.free) - now;
      if (wait > 0) {
        this.timer = setTimeout(() => this.pump(), wait);
        return;
      }
      this.queue.shift();
      this.inside -= next.bytes.length;
      this.free = Math.max(this.free, now) + (next.bytes.length / link.rate) * 1000;
      if (!this.send(next.bytes)) return;
    }
    if (this.source.isPaused() && this.inside < mostBytesInside) this.source.resume();
    if (this.over && this.queue.length === 0) this.target.end();
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.queue.length = 0;
  }

  private take(bytes: Buffer): void {
    // Small pieces, so that a slow link trickles and does not burst.
    for (let at = 0; at < bytes.length; at += 16_384) {
      this.queue.push({ bytes: bytes.subarray(at, at + 16_384), due: performance.now() });
    }
    this.inside += bytes.length;
    if (this.inside >= mostBytesInside) this.source.pause();
    if (this.timer === null) this.pump();
  }

  /** @returns false when the stream ended here, or the target has to drain first */
  private send(bytes: Buffer): boolean {
    const from = this.passed;
    this.passed += bytes.length;
    let out: Buffer = bytes;
    for (const damage of this.damages.splice(0)) {
      const at = damage.after - from;
      if (at >= bytes.length) {
        this.damages.push(damage);
        continue;
      }
      this.done++;
      const place = Math.min(Math.max(at, 0), out.length - 1);
      if (damage.kind === 'flip') {
        out = Buffer.from(out);
        out[place] = (out[place] as number) ^ (1 << damage.bit);
      } else if (damage.kind === 'drop') {
        out = Buffer.concat([out.subarray(0, place), out.subarray(place + damage.bytes)]);
      } else {
        this.target.end(out.subarray(0, place));
        this.source.destroy();
        this.close();
        return false;
      }
      if (out.length === 0) return true;
    }
    if (this.target.destroyed || !this.target.writable) return false;
    if (this.target.write(out)) return true;
    this.target.once('drain', () => this.pump());
    return false;
  }
}

interface Connection {
  readonly client: Socket;
  readonly server: Socket;
  readonly up: Pipe;
  readonly down: Pipe;
}

export class TcpProxy {
  readonly port: number;
  private readonly listening: Server;
  private readonly connections = new Set<Connection>();
  private readonly links: Record<Direction, LinkConditions> = { up: goodLink, down: goodLink };
  private readonly closedPipes = { damages: 0, bytes: { up: 0, down: 0 } };
  /** Damages for the next connection, when there is none. */
  private readonly waiting: { readonly direction: Direction; readonly damage: Damage }[] = [];

  private constructor(listening: Server, port: number, target: () => number) {
    this.listening = listening;
    this.port = port;
    listening.on('connection', (client) => this.accept(client, target()));
  }

  /** @param target port on 127.0.0.1, looked up for every connection */
  static async open(target: () => number): Promise<TcpProxy> {
    const server = createServer({ noDelay: true, allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server without a port');
    return new TcpProxy(server, address.port, target);
  }

  /** Changes one direction's link, for present and later connections. */
  set(direction: Direction, change: Partial<LinkConditions>): void {
    this.links[direction] = { ...this.links[direction], ...change };
    for (const connection of this.connections) connection[direction].pump();
  }

  /** Does it to every present connection, or to the next one. */
  damage(direction: Direction, damage: Damage): void {
    if (this.connections.size === 0) this.waiting.push({ direction, damage });
    for (const connection of this.connections) connection[direction].damage(damage);
  }

  /** Ends all connections with a TCP reset on both sides. @returns how many */
  reset(): number {
    const open = [...this.connections];
    for (const { client, server } of open) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
    return open.length;
  }

  get open(): number {
    return this.connections.size;
  }

  get damagesDone(): number {
    return [...this.connections].reduce((sum, c) => sum + c.up.done + c.down.done, this.closedPipes.damages);
  }

  bytes(direction: Direction): number {
    return [...this.connections].reduce(
      (sum, c) => sum + c[direction].passed,
      this.closedPipes.bytes[direction],
    );
  }

  async close(): Promise<void> {
    const closed = once(this.listening, 'close');
    this.listening.close();
    this.reset();
    await closed;
  }

  private accept(client: Socket, port: number): void {
    const server = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    const connection: Connection = {
      client,
      server,
      up: new Pipe(client, server, () => this.links.up),
      down: new Pipe(server, client, () => this.links.down),
    };
    this.connections.add(connection);
    for (const { direction, damage } of this.waiting.splice(0)) connection[direction].damage(damage);
    const forget = () => {
      if (!this.connections.delete(connection)) return;
      this.closedPipes.damages += connection.up.done + connection.down.done;
      this.closedPipes.bytes.up += connection.up.passed;
      this.closedPipes.bytes.down += connection.down.passed;
      connection.up.close();
      connection.down.close();
    };
    // One side broke: the other one learns of it the same way.
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      socket.on('error', () => other.resetAndDestroy());
      socket.once('close', () => {
        forget();
        if (!other.destroyed && !other.writableEnded) other.end();
      });
    }
  }
}
