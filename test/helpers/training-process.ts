/** Runs `lockstep train` as a real process: to its end, or until it is killed in the middle. */

import { type ChildProcess, spawn } from 'node:child_process';
import { stepOfFolder } from '@lockstep/coordinator/checkpoint/checkpoint.ts';
import { checkpointNames } from '@lockstep/coordinator/checkpoint/search.ts';
import type { ResultEvent, RunEvent } from '@lockstep/coordinator/metrics/events.ts';
import { findMissing } from '@lockstep/worker/data/cache-check.ts';
import { cacheFolder, datasetFolder } from '@lockstep/worker/data/cache-folder.ts';
import { describeDataset } from '@lockstep/worker/data/catalogue.ts';
import { binary, lockstep, type LockstepOptions } from './command-line.ts';

/** Flags of a run that only computes: no evaluation, no measurement of one thread alone. */
export const bare: readonly string[] = ['--no-evaluate', '--no-baseline'];

/** Runs `lockstep train --json` to its end. @throws what it wrote to standard error, when it did not end with 0 */
export async function trainEvents(args: readonly string[], options?: LockstepOptions): Promise<RunEvent[]> {
  const { code, stderr, objects } = await lockstep(['train', ...args, '--json'], options);
  if (code !== 0) throw new Error(`lockstep train ${args.join(' ')} ended with ${code}: ${stderr}`);
  return objects() as unknown as RunEvent[];
}

/** The result of a run. */
export async function trainResult(args: readonly string[], options?: LockstepOptions): Promise<ResultEvent> {
  const last = (await trainEvents(args, options)).at(-1);
  if (last?.type !== 'result') throw new Error(`the last object is ${JSON.stringify(last)}`);
  return last;
}

export interface RunningTraining {
  readonly child: ChildProcess;
  /** The exit code; null when a signal ended it. */
  readonly ended: Promise<number | null>;
}

/** Starts a run and resolves once it has committed `step` steps (or has ended before). */
export async function trainUntil(args: readonly string[], step: number): Promise<RunningTraining> {
  const child = spawn(process.execPath, [binary, 'train', ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  await new Promise<void>((resolve) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += String(chunk);
      if (text.includes(`"type":"step","step":${step},`)) resolve();
    });
    child.once('close', () => resolve());
  });
  return { child, ended };
}

/** The step of the newest checkpoint in the folder of a run that has one. */
export async function savedSteps(runFolder: string): Promise<number> {
  return Number(stepOfFolder((await checkpointNames(runFolder)).at(-1) ?? ''));
}

/**
 * Fails at once when a data set is not in the cache: a test should neither download 139 MB nor be skipped.
 *
 * @throws Error that says what to do
 */
export async function requireDataset(name: string): Promise<void> {
  const entry = describeDataset(name);
  const folder = datasetFolder(cacheFolder(), name);
  const missing = await findMissing(entry, folder);
  if (missing.length === 0) return;
  throw new Error(
    `This test needs ${entry.title}, and ${folder} lacks ${missing.join(', ')}. ` +
      `Run: npx lockstep data ${name} (npm test does so before the tests).`,
  );
}
