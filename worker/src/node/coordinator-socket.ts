/** The WebSocket to a coordinator: how it is opened, and what it means when that fails. */
import { ReceivedChunks } from '@lockstep/shared/protocol/frame-pool.ts';
import { largestFrameBytes, type Limits } from '@lockstep/shared/protocol/limits.ts';
import { WebSocket } from 'ws';

export interface SocketSetup {
  readonly url: string;
  /** PEM certificates that the coordinator's may be signed by; null for the system's. */
  readonly ca: string | null;
  readonly limits: Limits;
}

/** @param onMessage messages that came, in memory of their own */
export function connect(
  { url, ca, limits }: SocketSetup,
  onMessage: (data: Buffer, binary: boolean) => void,
): WebSocket {
  const socket = new WebSocket(url, {
    perMessageDeflate: false,
    maxPayload: largestFrameBytes(limits),
    handshakeTimeout: limits.helloTimeout,
    // Masks protect proxies from what a browser's page may send; a zero mask spares a pass over every byte.
    generateMask: (mask) => mask.fill(0),
    ...(ca === null ? {} : { ca }),
  });
  socket.binaryType = 'nodebuffer';
  const chunks = new ReceivedChunks();
  socket.on('upgrade', ({ socket: raw }) => {
    // Not before: the WebSocket has to have a chunk before this does.
    socket.once('open', () => raw.on('data', (bytes: Buffer) => chunks.add(bytes)));
  });
  socket.on('message', (data, binary) => onMessage(chunks.take(data as Buffer), binary));
  return socket;
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
