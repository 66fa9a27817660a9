/** A cluster on this machine: coordinator and nodes as real processes, and the run that was left alone. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type JsonLine, LockstepProcess } from './lockstep-process.ts';

/** The token of every test cluster; it opens nothing but a loopback port of the test's own. */
export const testToken = 'test-cluster-token-0123456789abcdef';

export interface CoordinatorOptions {
  readonly folder: string;
  readonly name?: string;
  /** Recipe flags, or the path of a recipe in front of them. */
  readonly recipe: readonly string[];
  readonly port: number;
  readonly host?: string;
  /** Threads of its own that compute. */
  readonly threads: number;
  readonly minNodes: number;
  /** The run's folder. */
  readonly out: string;
  readonly checkpointEvery?: number;
  readonly resume?: boolean;
  /** Default: no. */
  readonly evaluate?: boolean;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly prefix?: readonly string[];
}

export interface NodeOptions {
  readonly folder: string;
  readonly name: string;
  readonly port: number;
  readonly host?: string;
  /** Instead of the WebSocket address that follows from host and port. */
  readonly url?: string;
  readonly threads?: number;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly prefix?: readonly string[];
}

/** `lockstep coordinator`; it listens as soon as `coordinatorReady` says so. */
export function startCoordinator(options: CoordinatorOptions): LockstepProcess {
  const { folder, recipe, port, host = '127.0.0.1', threads, minNodes, out, checkpointEvery } = options;
  const args = [
    ['coordinator', ...recipe, '--json', '--no-baseline'],
    options.evaluate === true ? [] : ['--no-evaluate'],
    ['--listen', `${host}:${port}`, '--threads', String(threads), '--min-nodes', String(minNodes)],
    ['--out', out],
    checkpointEvery === undefined ? [] : ['--checkpoint-every', String(checkpointEvery)],
    options.resume === true ? ['--resume'] : [],
    options.flags ?? [],
  ].flat();
  return new LockstepProcess({
    name: options.name ?? 'coordinator',
    args,
    folder,
    env: { LOCKSTEP_TOKEN: testToken, ...options.env },
    prefix: options.prefix ?? [],
  });
}

/** `lockstep join`. Each name has its own data cache below the folder, as each machine would. */
export function startNode(options: NodeOptions): LockstepProcess {
  const { folder, name, port, host = '127.0.0.1', threads = 1, url = `ws://${host}:${port}` } = options;
  const args = [
    ['join', url, '--json', '--threads', String(threads), '--name', name],
    options.flags ?? [],
  ].flat();
  const env = { LOCKSTEP_TOKEN: testToken, LOCKSTEP_CACHE: join(folder, 'cache', name), ...options.env };
  return new LockstepProcess({ name, args, folder, env, prefix: options.prefix ?? [] });
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a TCP server without a port');
  return address.port;
}

/** What one committed step says of itself, as far as it depends on the recipe alone. */
export interface StepFigures {
  readonly step: number;
  readonly samples: number;
  readonly loss: number;
  readonly accuracy: number;
}

/** A run that nobody disturbed. */
export interface Reference {
  readonly weightsSha256: string;
  readonly samples: number;
  readonly steps: readonly StepFigures[];
  readonly seconds: number;
}

/** The committed steps among some events, in the order in which they came. */
export function stepFigures(events: readonly JsonLine[]): StepFigures[] {
  return events
    .filter((event) => event.type === 'step')
    .map(({ step, samples, loss, accuracy }) => ({
      step: step as number,
      samples: samples as number,
      loss: loss as number,
      accuracy: accuracy as number,
    }));
}

/** The `result` of a process that ended well. @throws Error with its last words */
export function resultOf(ended: LockstepProcess): JsonLine {
  const result = ended.last('result');
  if (ended.end?.code !== 0 || result === undefined) throw ended.trouble('ended without a result');
  return result;
}

/** Trains the recipe in one process: what every cluster has to equal. */
export async function trainAlone(recipe: readonly string[], folder: string, threads = 2): Promise<Reference> {
  const args = [
    ['train', ...recipe, '--json', '--no-evaluate', '--no-baseline'],
    ['--threads', String(threads), '--out', join(folder, 'alone')],
  ].flat();
  const begun = performance.now();
  const run = new LockstepProcess({ name: 'alone', args, folder });
  await run.ended;
  const { weightsSha256, samples } = resultOf(run);
  return {
    weightsSha256: weightsSha256 as string,
    samples: samples as number,
    steps: stepFigures(run.events),
    seconds: (performance.now() - begun) / 1000,
  };
}

/** Bytes of memory that a process holds now. @throws Error on systems without /proc */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`/proc/${pid}/status has no VmRSS`);
  return Number(kilobytes) * 1024;
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
