/** A cluster on this machine: coordinator and nodes as real processes, and the run that was left alone. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type JsonLine, LockstepProcess } from './lockstep-process.ts';

/** The token of every test cluster; it opens nothing but a loopback port of the test's own. */
export const testToken = 'test-cluster-token-0123456789abcdef';

/**
 * Seconds of silence after which a node counts as lost, where that is not what a test is about: with the usual two, a
 * machine that lets one process stand still for three seconds would drop a node that has done nothing wrong.
 */
const patientSilence = 8;

/** Length of a run that a test ends: how many steps there are until something has happened is up to the machine. */
export const endless: readonly string[] = ['--steps', '1000000'];

export interface CoordinatorOptions {
  readonly folder: string;
  readonly name?: string;
  /** Recipe flags, or the path of a recipe in front of them. */
  readonly recipe: readonly string[];
  /** Default: one that the system picks, told by `portOf`. One that was free a moment ago may be somebody else's now. */
  readonly port?: number;
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
  /** Silence after which a node counts as lost. */
  readonly heartbeatSeconds?: number;
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

/** `lockstep coordinator`; it listens as soon as `portOf` says where. */
export function startCoordinator(options: CoordinatorOptions): LockstepProcess {
  const { folder, recipe, port = 0, host = '127.0.0.1', threads, minNodes, out, checkpointEvery } = options;
  const { heartbeatSeconds = patientSilence } = options;
  const args = [
    ['coordinator', ...recipe, '--json', '--no-baseline'],
    options.evaluate === true ? [] : ['--no-evaluate'],
    ['--listen', `${host}:${port}`, '--threads', String(threads), '--min-nodes', String(minNodes)],
    ['--out', out, '--heartbeat-seconds', String(heartbeatSeconds)],
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

/** The port that a coordinator listens on, as soon as it does. */
export async function portOf(coordinator: LockstepProcess): Promise<number> {
  const { url } = await coordinator.waitFor('port', ({ type }) => type === 'listening', 120);
  return Number(new URL(String(url)).port);
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

/** Nothing listens there, and the system says so at once; a port that was free a moment ago may be somebody's now. */
export const closedPort = 9;

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

/** Names of those that a coordinator has given shards to. */
export function contributors({ events }: LockstepProcess): Set<string> {
  const given = events
    .filter(({ type }) => type === 'assigned')
    .flatMap((event) => (event['members'] as { readonly name: string }[]).map(({ name }) => name));
  const stolen = events.filter(({ type }) => type === 'stolen').map((event) => String(event['to']));
  return new Set([...given, ...stolen]);
}

/**
 * Makes a run up to three times, until all of so many have had a part in it: others take over what a node has that
 * stands still, and a short run may be over before it goes on.
 *
 * @param attempt makes the run and tells how many had a part in it
 */
export async function untilAll(
  members: number,
  attempt: (number: number) => Promise<number>,
): Promise<number> {
  let most = 0;
  for (let number = 1; number <= 3 && most < members; number++) {
    most = Math.max(most, await attempt(number));
  }
  return most;
}

/** The last step that is known to be committed. */
export function reached(coordinator: LockstepProcess): number {
  return Number(coordinator.last('step')?.['step'] ?? 0);
}

/** Waits until a step is committed. */
export function untilStep(coordinator: LockstepProcess, number: number, seconds: number): Promise<JsonLine> {
  return coordinator.waitFor(
    `step ${number}`,
    ({ type, step }) => type === 'step' && step === number,
    seconds,
  );
}

/** Waits until the run has gone on for more than so many steps. */
export async function goesOn(coordinator: LockstepProcess, steps: number): Promise<void> {
  const from = reached(coordinator);
  await coordinator.until('further steps', () => reached(coordinator) > from + steps, 120);
}

/** The lines of a run's `events.jsonl`, with their times. */
export async function loggedEvents(out: string): Promise<(JsonLine & { readonly at: string })[]> {
  const text = await readFile(join(out, 'events.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as JsonLine & { readonly at: string });
}

/** How far a run has come, and its weights. */
export interface Milestone {
  readonly steps: number;
  readonly weightsSha256: string;
}

/**
 * Ends an endless run after its step. While the rate of learning is constant it has the bits of a run that was to end
 * there: `trainAlone` with so many steps.
 */
export async function interrupt(coordinator: LockstepProcess): Promise<Milestone> {
  await coordinator.stop('SIGINT');
  const result = coordinator.last('result');
  if (result === undefined) throw coordinator.trouble('was interrupted and ended without a result');
  return { steps: result['steps'] as number, weightsSha256: result['weightsSha256'] as string };
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
