/** Reads a connection straight into the memory in which its messages stay: see `WholeFrames`. */
import {
  connect,
  isIP,
  type NetConnectOpts,
  type OnReadOpts,
  Socket,
  type SocketConstructorOpts,
} from 'node:net';
import { connect as connectSecurely, type ConnectionOptions } from 'node:tls';
import { WholeFrames, type WholeFramesOptions } from '@lockstep/shared/protocol/whole-frames.ts';

/** What Node's sockets rest on; its own server makes sockets from one, with the same undocumented option. */
interface Handle {
  readonly useUserBuffer?: unknown;
}

export class FrameReading {
  readonly frames: WholeFrames;
  /** Told of all that comes, also of parts of messages. */
  onBytes: (count: number) => void = () => {};

  constructor(options: WholeFramesOptions) {
    this.frames = new WholeFrames(options);
  }

  /** As `net.connect`. */
  connect(options: NetConnectOpts): Socket {
    const socket: Socket = connect({ ...options, onread: this.onread(() => socket) });
    return socket;
  }

  /** As `tls.connect`; the name in the certificate is that of the host. */
  connectSecurely(options: ConnectionOptions): Socket {
    const { host = '' } = options;
    // An address is no server name (RFC 6066, 3); it is compared with the certificate all the same.
    const servername = options.servername ?? (isIP(host) === 0 ? host : '');
    const reading = { ...options, servername, onread: this.onread(() => socket) };
    const socket: Socket = connectSecurely(reading);
    return socket;
  }

  /**
   * Takes over a connection that a server has accepted, for servers cannot be told where to read to.
   *
   * @param head what came with the upgrade, and is handed on by whoever asked for it
   * @returns the connection: the same one where it is encrypted, or this Node does it in another way
   */
  adopt(raw: Socket, head: Uint8Array): Socket {
    this.frames.pass(head);
    const { _handle: handle } = raw as unknown as { _handle: Handle | null };
    if (raw.constructor !== Socket || typeof handle?.useUserBuffer !== 'function') {
      this.follow(raw);
      return raw;
    }
    Object.assign(raw, { _handle: null });
    // It has nothing to close any more; its server stops counting it.
    raw.destroy();
    const options = { handle, onread: this.onread(() => socket) };
    const socket: Socket = new Socket(options as SocketConstructorOpts);
    return socket;
  }

  /** A connection that reads in its own way, into memory that V8 frees: large messages are copied out of it. */
  private follow(raw: Socket): void {
    const push = raw.push.bind(raw);
    raw.push = (bytes: Buffer | null) => {
      if (bytes === null) return push(null);
      this.onBytes(bytes.length);
      let goOn = true;
      for (const piece of this.frames.feed(bytes)) goOn = push(piece);
      return goOn;
    };
  }

  private onread(socket: () => Socket): OnReadOpts {
    return {
      buffer: () => this.frames.room(),
      callback: (count) => {
        this.onBytes(count);
        let goOn = true;
        for (const piece of this.frames.take(count)) goOn = socket().push(piece);
        return goOn;
      },
    };
  }
}
