/** A training with one honest node under attack: the same weights, no crash, no lasting memory, hardly slower. */
import { mkdtemp, rm } from 'node:fs/promises';
import { constants, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { protocolVersion } from '@lockstep/shared/protocol/messages.ts';
import { examineMachine } from '@lockstep/worker/node/fingerprints.ts';
import { auditCommits } from '../chaos/commit-ledger.ts';
import {
  endless,
  pause,
  portOf,
  residentBytes,
  startCoordinator,
  startNode,
  stepFigures,
  testToken,
  trainAlone,
} from '../helpers/cluster.ts';
import type { LockstepProcess } from '../helpers/lockstep-process.ts';
import { Attacker } from './attacker.ts';
import type { Hello } from './sample-messages.ts';

export interface FuzzOptions {
  readonly seed: number;
  readonly frames: number;
  /** Frames a second. */
  readonly pace: number;
  /** Silence after which the honest node counts as lost. */
  readonly heartbeatSeconds: number;
  /** Alternate between attack and peace, and compare the speeds. */
  readonly compareSpeed: boolean;
  readonly log: (line: string) => void;
}

export interface FuzzReport {
  readonly frames: number;
  readonly connections: number;
  readonly sessions: Readonly<Record<string, number>>;
  readonly refusals: Readonly<Record<string, number>>;
  readonly steps: number;
  /** Medians of the windows' ratios: steps a second under attack against those in peace; null: not compared. */
  readonly speedRatio: number | null;
  readonly residentBefore: number;
  readonly residentAfter: number;
  readonly seconds: number;
  readonly complaints: readonly string[];
}

const recipe = ['--model', 'resnet8', '--dataset', 'synthetic', '--batch-size', '32', '--shards', '4'];

/** Seconds of each window when speeds are compared. */
const windowSeconds = 6;
/** Comparisons that are enough for a median; whatever frames are left then come at once. */
const mostWindows = 9;

/** What the coordinator's memory may have grown by once all is quiet: room for V8 to breathe, none for a leak. */
export const memoryBound = 32 * 2 ** 20;

/** Time for handshakes that never finished to be given up (5 s), and for the memory to settle. */
const settleSeconds = 8;

/** Longest time after that in which V8 may get round to collecting: on a busy machine it does so seldom. */
const patienceSeconds = 120;

/** What a process holds once it is back within the bound; what it holds at last when it does not come back. */
async function settledBytes(pid: number, before: number): Promise<number> {
  for (let waited = 0; ; waited++) {
    const now = await residentBytes(pid);
    if (now - before <= memoryBound || waited === patienceSeconds) return now;
    await pause(1000);
  }
}

/** @throws Error with the seed and where the logs are */
export async function runFuzz(options: FuzzOptions): Promise<FuzzReport> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-fuzz-'));
  const started: LockstepProcess[] = [];
  try {
    const report = await fuzz(options, folder, started);
    if (report.complaints.length > 0) throw new Error(report.complaints.join('\n  '));
    await rm(folder, { recursive: true, force: true });
    return report;
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    const again = `npm run fuzz --workspace test -- --frames ${options.frames} --seed ${options.seed}`;
    throw new Error(`${why}\n  again: ${again}\n  logs of all processes: ${folder}`, { cause: thrown });
  } finally {
    await Promise.all(started.map((process) => process.stop('SIGKILL')));
  }
}

async function fuzz(options: FuzzOptions, folder: string, started: LockstepProcess[]): Promise<FuzzReport> {
  const begun = performance.now();
  const say = (line: string) => {
    options.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  };
  const { heartbeatSeconds } = options;
  const run = { folder, threads: 0, minNodes: 1, out: join(folder, 'run'), heartbeatSeconds };
  const coordinator = startCoordinator({
    ...run,
    recipe: [...recipe, ...endless],
    flags: ['--checkpoint-seconds', '10000'],
  });
  started.push(coordinator);
  const port = await portOf(coordinator);
  const node = startNode({ folder, name: 'honest', port });
  started.push(node);
  const steps = () => Number(coordinator.last('step')?.['step'] ?? 0);
  await coordinator.until('20 steps', () => steps() >= 20, 120);
  const hello = await acceptedHello();
  const attacker = new Attacker({ port, seed: options.seed, hello, pace: options.pace, width: 32 });
  // V8 keeps what a first rush of connections made it take; what comes after that must not add to it.
  const first = Math.min(20_000, Math.ceil(options.frames / 4));
  await attacker.attack(first, () => coordinator.end !== null);
  await pause(settleSeconds * 1000);
  const residentBefore = await residentBytes(coordinator.pid);
  say(`seed ${options.seed}: after ${first} frames, step ${steps()}, ${mebibytes(residentBefore)} resident`);

  const frames = first + options.frames;
  const speedRatio = options.compareSpeed
    ? await alternate(attacker, frames, steps, say)
    : await attacker.attack(frames, () => coordinator.end !== null).then(() => null);
  if (coordinator.end !== null) throw coordinator.trouble('died under attack');
  say(`${attacker.frames} frames on ${attacker.connections} connections, step ${steps()}`);

  await pause(settleSeconds * 1000);
  const residentAfter = await settledBytes(coordinator.pid, residentBefore);
  say(`at rest: ${mebibytes(residentAfter)} resident`);
  const last = steps();
  await coordinator.until('steps after the attack', () => steps() >= last + 5, 120);
  // Before the run ends: then it comes back as it should, to wait for the run to go on.
  const troubles = honestTroubles(coordinator, node);
  await coordinator.stop('SIGINT', 60);
  const result = coordinator.last('result');
  if (result === undefined) throw coordinator.trouble('ended without a result');
  const total = Number(result['steps']);
  say(`${total} steps; the same alone`);
  const reference = await trainAlone([...recipe, '--steps', String(total)], folder);
  const complaints = [
    ...auditCommits([coordinator.events], reference).complaints,
    ...(result['weightsSha256'] === reference.weightsSha256
      ? []
      : ['the weights differ from those of the run alone']),
    ...troubles,
    ...(attacker.unreachable === 0 ? [] : [`the port was closed ${attacker.unreachable} times`]),
    ...(residentAfter - residentBefore <= memoryBound
      ? []
      : [`memory grew by ${mebibytes(residentAfter - residentBefore)}; at most ${mebibytes(memoryBound)}`]),
  ];
  return {
    frames: attacker.frames,
    connections: attacker.connections,
    sessions: attacker.sessions,
    refusals: Object.fromEntries(attacker.refusals),
    steps: stepFigures(coordinator.events).length,
    speedRatio,
    residentBefore,
    residentAfter,
    seconds: (performance.now() - begun) / 1000,
    complaints,
  };
}

/** The honest node must not suffer for what others do. */
function honestTroubles(coordinator: LockstepProcess, node: LockstepProcess): string[] {
  const left = coordinator.events.filter(({ type, name }) => type === 'node-left' && name === 'honest');
  const again = node.events.filter(({ type }) => type === 'reconnecting');
  return [
    ...left.map(({ reason }) => `the honest node was lost: ${String(reason)}`),
    ...again.map(({ reason }) => `the honest node had to reconnect: ${String(reason)}`),
  ];
}

/** Attack and peace in turn, until all frames are sent. @returns the median ratio of steps a second */
async function alternate(
  attacker: Attacker,
  frames: number,
  steps: () => number,
  say: (line: string) => void,
): Promise<number> {
  const ratios: number[] = [];
  const rate = async (during: Promise<void>, begun = performance.now(), first = steps()): Promise<number> => {
    await during;
    return (steps() - first) / ((performance.now() - begun) / 1000);
  };
  // The attack itself must not take the processor from what it attacks: both run on this machine.
  setPriority(constants.priority.PRIORITY_LOW);
  while (attacker.frames < frames && ratios.length < mostWindows) {
    const end = performance.now() + windowSeconds * 1000;
    // Traitors cost shards by design: they come after the comparison.
    const attacked = await rate(attacker.attack(frames, () => performance.now() > end, ['traitor']));
    await pause(500);
    const peace = await rate(pause(windowSeconds * 1000));
    ratios.push(attacked / peace);
    say(`${attacker.frames} frames: ${attacked.toFixed(2)} steps/s, in peace ${peace.toFixed(2)}`);
  }
  try {
    setPriority(constants.priority.PRIORITY_NORMAL);
  } catch {
    // Only root gets it back; then the rest takes longer.
  }
  await attacker.attack(Math.max(frames, attacker.frames + Math.ceil(frames / 50)), () => false);
  return ratios.toSorted((a, b) => a - b)[ratios.length >> 1] ?? Number.NaN;
}

/** What `lockstep join` on this machine would say. */
async function acceptedHello(): Promise<Hello> {
  const { fingerprints } = await examineMachine();
  return {
    type: 'hello',
    protocolVersion,
    token: testToken,
    instance: '0'.repeat(32),
    name: 'impostor',
    threads: 1,
    gigaflops: 1000,
    fingerprints,
    runtime: { lockstep: '0.1.0', node: process.version, platform: 'fuzz' },
  };
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
