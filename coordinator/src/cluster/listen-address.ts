/** Where a coordinator listens, and by which address others reach it. Pure. */
import type { NetworkInterfaceInfo } from 'node:os';
import { isIP } from 'node:net';
import { LockstepError } from '@lockstep/shared/base/errors.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

/** `HOST:PORT`, `:PORT`, `PORT` or `[IPv6]:PORT`. @throws LockstepError USAGE */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits = ''] = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text) ?? [];
  const port = digits === '' ? Number.NaN : Number(digits);
  if (!(port <= 65_535)) {
    throw new LockstepError(
      'USAGE',
      `--listen was given '${text.slice(0, 200)}'.`,
      'Allowed: HOST:PORT, for example 0.0.0.0:7070 or 127.0.0.1:7070; port 0 takes a free one.',
      { value: text },
    );
  }
  const host = bracketed ?? plain;
  return { host: host === undefined || host === '' ? '127.0.0.1' : host, port };
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/**
 * The URL that a node dials.
 *
 * @param interfaces of this machine: `os.networkInterfaces()`
 */
export function dialUrl(
  { host, port }: ListenAddress,
  secure: boolean,
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): string {
  let name = host;
  if (host === '0.0.0.0' || host === '::') {
    const all = Object.values(interfaces).flatMap((list) => list ?? []);
    name = all.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? '127.0.0.1';
  }
  return `${secure ? 'wss' : 'ws'}://${isIP(name) === 6 ? `[${name}]` : name}:${port}`;
}
