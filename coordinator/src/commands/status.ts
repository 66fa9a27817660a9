/** `lockstep status URL`: what a running coordinator says of its nodes. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { Command } from 'commander';
import type { ClusterStatus } from '../cluster/cluster-status.ts';
import { writeJsonLine } from '../terminal/json-lines.ts';
import { standardOutput } from '../terminal/output.ts';
import { statusText } from '../terminal/status-text.ts';
import { addJsonFlag } from './options.ts';
import { addTokenFlags, givenToken, readTextFile, type TokenFlags } from './token-source.ts';

interface StatusFlags extends TokenFlags {
  readonly ca?: string;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function registerStatus(program: Command): void {
  const command = program
    .command('status')
    .description('nodes, speeds and decisions of a running coordinator')
    .argument('<url>', 'address of the coordinator, for example ws://10.0.0.1:7070')
    .option('--ca <file>', "certificate (PEM) that the coordinator's is signed by");
  addTokenFlags(command, 'the token of the run');
  addJsonFlag(command).action(async (url: string, flags: StatusFlags) => {
    const output = standardOutput();
    const status = await fetchStatus(url, flags);
    if (flags.json === true) writeJsonLine(output, status);
    else output.write(`${statusText(status)}\n`);
  });
}

async function fetchStatus(address: string, flags: StatusFlags): Promise<ClusterStatus> {
  const url = URL.parse('/status', address.replace(/^ws/, 'http'));
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new LockstepError(
      'USAGE',
      `'${address.slice(0, 200)}' is no address of a coordinator.`,
      'Allowed: ws://HOST:PORT or wss://HOST:PORT.',
      { url: address },
    );
  }
  const token = await givenToken(flags);
  const ca = flags.ca === undefined ? null : await readTextFile(flags.ca, 'the certificate');
  const { code, body } = await get(url, token, ca);
  if (code === 401) {
    throw new LockstepError('TOKEN_WRONG', 'The coordinator does not know this token.', 'Pass --token.', {});
  }
  if (code !== 200) throw unreachable(address, `it answered with ${code}`);
  const status = parseStatus(body);
  if (status === null) throw unreachable(address, 'what answers there is no coordinator');
  return status;
}

/** @returns null for anything that a coordinator does not say */
function parseStatus(body: string): ClusterStatus | null {
  try {
    const value = JSON.parse(body) as Partial<ClusterStatus> | null;
    return value?.type === 'result' && Array.isArray(value.members) ? (value as ClusterStatus) : null;
  } catch {
    return null;
  }
}

async function get(
  url: URL,
  token: string | null,
  ca: string | null,
): Promise<{ code: number; body: string }> {
  // Not `fetch`: it takes no certificate of one's own.
  const { request } = url.protocol === 'https:' ? await import('node:https') : await import('node:http');
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number; body: string }>();
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  const sent = request(url, { headers, timeout: 5000, ...(ca === null ? {} : { ca }) }, (response) => {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
      body += text;
    });
    response.on('end', () => resolve({ code: response.statusCode ?? 0, body }));
    response.on('error', reject);
  });
  sent.on('timeout', () => sent.destroy(new Error('no answer within 5 s')));
  sent.on('error', reject);
  sent.end();
  return promise.catch(async (thrown: unknown) => {
    const error: NodeJS.ErrnoException = thrown instanceof Error ? thrown : new Error(String(thrown));
    const { explain } = await import('@lockstep/worker/node/coordinator-socket.ts');
    // The same trouble has the same code as at `join`.
    const { code, advice } = explain(error);
    if (code === null) throw unreachable(url.origin, error.message);
    const what = `The certificate of ${url.origin} cannot be verified: ${error.message}.`;
    throw new LockstepError(code, what, advice, { url: url.origin }, error);
  });
}

function unreachable(address: string, why: string): LockstepError {
  return new LockstepError(
    'COORDINATOR_UNREACHABLE',
    `The coordinator at ${address} cannot be reached: ${why}.`,
    'Check the address, and that the coordinator runs.',
    { url: address },
  );
}
