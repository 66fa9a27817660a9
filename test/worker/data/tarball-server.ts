/** A web server on this machine that serves one tarball, well or badly. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { Registry } from '@lockstep/worker/data/npm-client.ts';
import type { ExecutionContext } from 'ava';

export interface ServerManner {
  /** Ignore Range and always send the whole file. */
  ranges?: boolean;
  /** Fall silent after so many body bytes, in each of the first `pauses` answers; `cut()` ends them. */
  pauseAfter?: number;
  pauses?: number;
  /** Answer with this status and nothing else. */
  status?: number;
  /** Send these bytes instead of the tarball. */
  wrong?: Buffer;
}

export interface TarballServer {
  readonly url: string;
  readonly integrity: string;
  /** The Range header of each request, or null. */
  readonly requests: (string | null)[];
  /** May be changed between requests. */
  manner: ServerManner;
  /** Where the last answer that fell silent stopped, in bytes of the tarball. */
  sentUpTo: number;
  /** Cuts every connection. */
  readonly cut: () => void;
}

function answer(
  body: Buffer,
  server: TarballServer,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { ranges = true, pauseAfter, pauses = Number.POSITIVE_INFINITY, status } = server.manner;
  const range = request.headers.range ?? null;
  server.requests.push(range);
  if (status !== undefined) {
    response.writeHead(status).end();
    return;
  }
  const start = ranges && range !== null ? Number(/bytes=(\d+)-/.exec(range)?.[1] ?? 0) : 0;
  if (start >= body.length) {
    response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end();
    return;
  }
  const part = body.subarray(start);
  const headers: Record<string, string | number> = { 'content-length': part.length };
  if (start > 0) headers['content-range'] = `bytes ${start}-${body.length - 1}/${body.length}`;
  response.writeHead(start > 0 ? 206 : 200, headers);
  if (pauseAfter !== undefined && server.requests.length <= pauses && pauseAfter < part.length) {
    server.sentUpTo = start + pauseAfter;
    response.write(part.subarray(0, pauseAfter));
  } else {
    response.end(part);
  }
}

export async function serveTarball(
  t: ExecutionContext,
  tarball: Buffer,
  manner: ServerManner = {},
): Promise<TarballServer> {
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
  const http = createServer((request, response) =>
    answer(server.manner.wrong ?? tarball, server, request, response),
  );
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  const server: TarballServer = {
    url: `http://127.0.0.1:${port}/tiny.tgz`,
    integrity,
    requests: [],
    manner,
    sentUpTo: 0,
    cut: () => http.closeAllConnections(),
  };
  t.teardown(() => {
    http.closeAllConnections();
    http.close();
  });
  return server;
}

/** Stands in for npm: knows the server's address; `pack` has nothing unless told otherwise. */
export function registryOf(
  server: Pick<TarballServer, 'url' | 'integrity'>,
  pack?: Registry['pack'],
): Registry {
  return {
    find: async () => ({ url: server.url, integrity: server.integrity, shasum: null }),
    pack:
      pack ??
      (async () => {
        throw new LockstepError('DATA_OFFLINE', 'npm pack failed.', 'Check the network.');
      }),
  };
}
