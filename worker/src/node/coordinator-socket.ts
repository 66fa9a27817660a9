/** The WebSocket to a coordinator: how it is opened, and what it means when that fails. */
import type { NetConnectOpts, Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { largestFrameBytes, type Limits } from '@lockstep/shared/protocol/limits.ts';
import { WebSocket } from 'ws';
import { FrameReading } from './frame-reading.ts';
import { Outbox } from './outbox.ts';

export interface SocketSetup {
  readonly url: string;
  /** PEM certificates that the coordinator's may be signed by; null for the system's. */
  readonly ca: string | null;
  readonly limits: Limits;
}

/** @param onMessage messages that came, in memory that `reading` takes back when nobody looks at them any more */
export function connect(
  { url, ca, limits }: SocketSetup,
  onMessage: (data: Buffer, binary: boolean) => void,
): { readonly socket: WebSocket; readonly reading: FrameReading; readonly outbox: Outbox } {
  const largest = largestFrameBytes(limits);
  const reading = new FrameReading({ largest, preface: true });
  const isEncrypted = url.startsWith('wss:');
  const createConnection = (options: NetConnectOpts): Socket => {
    // To `net`, a path is that of a Unix socket.
    const target = Object.assign({}, options, { path: undefined });
    return isEncrypted ? reading.connectSecurely(target as ConnectionOptions) : reading.connect(target);
  };
  const socket = new WebSocket(url, {
    perMessageDeflate: false,
    maxPayload: largest,
    handshakeTimeout: limits.helloTimeout,
    // Masks protect proxies from what a browser's page may send; a zero mask spares a pass over every byte.
    generateMask: (mask) => mask.fill(0),
    createConnection: createConnection as typeof import('node:net').createConnection,
    ...(ca === null ? {} : { ca }),
  });
  socket.binaryType = 'nodebuffer';
  const outbox = new Outbox(socket, limits.partBytes);
  socket.on('upgrade', ({ socket: raw }) => {
    outbox.stream = raw;
  });
  socket.on('message', (data, binary) => onMessage(data as Buffer, binary));
  return { socket, reading, outbox };
}

/** @returns the code and advice of an error of the socket; the code is null when the network ended it */
export function explain(error: NodeJS.ErrnoException): {
  readonly code: 'CERTIFICATE_INVALID' | null;
  readonly advice: string;
} {
  return /CERT|SELF_SIGNED|UNABLE_TO/.test(error.code ?? '')
    ? { code: 'CERTIFICATE_INVALID', advice: 'Pass the certificate that signed it with --ca FILE.' }
    : { code: null, advice: '' };
}
