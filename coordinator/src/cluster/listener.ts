/** The port: HTTP for `status`, WebSocket for nodes. Knows nothing of training. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { readFile } from 'node:fs/promises';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { largestFrameBytes, type Limits } from '@lockstep/shared/protocol/limits.ts';
import { WebSocketServer } from 'ws';
import { FrameReading } from '@lockstep/worker/node/frame-reading.ts';
import type { ListenAddress } from './listen-address.ts';
import type { Connection } from './node-link.ts';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface ListenerOptions {
  readonly address: ListenAddress;
  /** PEM; null serves without encryption. */
  readonly certificate: Certificate | null;
  readonly limits: Limits;
  readonly onRequest: RequestListener;
  /** Whether another stranger may come in. */
  readonly admits: () => boolean;
  readonly onConnection: (connection: Connection) => void;
}

/** @throws LockstepError CERTIFICATE_INVALID when a file cannot be read */
export async function readCertificate(certPath: string, keyPath: string): Promise<Certificate> {
  try {
    return { cert: await readFile(certPath, 'utf8'), key: await readFile(keyPath, 'utf8') };
  } catch (thrown) {
    throw certificateTrouble(thrown);
  }
}

function certificateTrouble(thrown: unknown): LockstepError {
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new LockstepError(
    'CERTIFICATE_INVALID',
    `The certificate cannot be used: ${why}.`,
    'Pass PEM files with --tls-cert and --tls-key that belong together.',
    {},
    thrown,
  );
}

export class Listener {
  readonly address: ListenAddress;
  private readonly server: Server;
  private readonly sockets: WebSocketServer;

  private constructor(server: Server, sockets: WebSocketServer, address: ListenAddress) {
    this.server = server;
    this.sockets = sockets;
    this.address = address;
  }

  /** @throws LockstepError LISTEN_FAILED, CERTIFICATE_INVALID */
  static async open(options: ListenerOptions): Promise<Listener> {
    const { address, certificate, limits, onRequest } = options;
    const times = { headersTimeout: limits.helloTimeout, requestTimeout: limits.helloTimeout };
    let server: Server;
    try {
      server =
        certificate === null
          ? createServer({ ...times, connectionsCheckingInterval: 1000 }, onRequest)
          : createSecureServer({ ...times, ...certificate, connectionsCheckingInterval: 1000 }, onRequest);
    } catch (thrown) {
      throw certificateTrouble(thrown);
    }
    const sockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: largestFrameBytes(limits),
      clientTracking: false,
    });
    server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
      stream.on('error', () => stream.destroy());
      if (!options.admits()) {
        stream.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n');
        return;
      }
      const reading = new FrameReading({ largest: 0, preface: false });
      const raw = reading.adopt(stream as Socket, head);
      raw.on('error', () => raw.destroy());
      sockets.handleUpgrade(request, raw, head, (socket) => options.onConnection({ socket, raw, reading }));
    });
    server.on('clientError', (_error, stream) => stream.destroy());
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
    try {
      await promise;
    } catch (thrown) {
      throw listenTrouble(address, thrown);
    }
    server.on('error', () => {});
    const { port } = server.address() as AddressInfo;
    return new Listener(server, sockets, { host: address.host, port });
  }

  /** Takes no more connections; those that are open end with whoever owns them. */
  async close(): Promise<void> {
    this.sockets.close();
    this.server.close();
    this.server.closeAllConnections();
  }
}

function listenTrouble({ host, port }: ListenAddress, thrown: unknown): LockstepError {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : String(thrown);
  const why =
    {
      EADDRINUSE: 'the port is taken',
      EACCES: 'permission denied',
      EADDRNOTAVAIL: 'this machine has no such address',
    }[code] ?? code;
  return new LockstepError(
    'LISTEN_FAILED',
    `Cannot listen on ${host}:${port}: ${why}.`,
    'Choose another address with --listen HOST:PORT; port 0 takes a free one.',
    { host, port, cause: code },
    thrown,
  );
}
