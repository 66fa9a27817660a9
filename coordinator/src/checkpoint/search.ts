/** Which checkpoints a folder holds, and which of them is the newest whole one. */

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { manifestFile, stepOfFolder } from './checkpoint.ts';
import { systemCode } from './disk.ts';
import { Damage, readManifest, verifyCheckpoint } from './verify.ts';

export interface FoundCheckpoint {
  readonly path: string;
  readonly step: number;
  /** Newer ones that were passed over, and why. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

/** The newest whole checkpoint of a run folder, by the time it was written; null when there is none. */
export async function findNewestCheckpoint(runDirectory: string): Promise<FoundCheckpoint | null> {
  const { newest } = await searchCheckpoints(runDirectory);
  return newest;
}

export interface CheckpointSearch {
  readonly newest: FoundCheckpoint | null;
  /** All that were passed over, also when nothing whole was found. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

/** As `findNewestCheckpoint`, but also says what was passed over when nothing whole is left. */
export async function searchCheckpoints(runDirectory: string): Promise<CheckpointSearch> {
  const skipped: { path: string; reason: string }[] = [];
  const readable: { path: string; writtenAt: string; step: number }[] = [];
  for (const name of await checkpointNames(runDirectory)) {
    const path = join(runDirectory, name);
    try {
      const { writtenAt, step } = await readManifest(path);
      readable.push({ path, writtenAt, step });
    } catch (thrown) {
      if (!(thrown instanceof Damage)) throw thrown;
      skipped.push({ path, reason: thrown.message });
    }
  }
  readable.sort((a, b) => b.writtenAt.localeCompare(a.writtenAt) || b.step - a.step);
  for (const { path } of readable) {
    try {
      const { step } = await verifyCheckpoint(path);
      return { newest: { path, step, skipped }, skipped };
    } catch (thrown) {
      if (!(thrown instanceof Damage)) throw thrown;
      skipped.push({ path, reason: thrown.message });
    }
  }
  return { newest: null, skipped };
}

/** Names of the checkpoint folders in a run folder, lowest step first; empty when there is no such folder. */
export async function checkpointNames(runDirectory: string): Promise<string[]> {
  try {
    const names = await readdir(runDirectory);
    return names.filter((name) => stepOfFolder(name) !== null).toSorted();
  } catch (thrown) {
    if (systemCode(thrown) === 'ENOENT' || systemCode(thrown) === 'ENOTDIR') return [];
    throw thrown;
  }
}

/**
 * What a user means by a path: a checkpoint's folder, its manifest, or a run's folder (then its newest whole one).
 *
 * @throws LockstepError CHECKPOINT_MISSING
 */
export async function locateCheckpoint(path: string): Promise<string> {
  const folder = basename(path) === manifestFile ? dirname(path) : path;
  await requireFolder(folder);
  if ((await checkpointNames(folder)).length === 0) return folder;
  const { newest, skipped } = await searchCheckpoints(folder);
  if (newest !== null) return newest.path;
  // All damaged: reading the last one gives the error that names the file.
  return skipped.at(-1)?.path ?? folder;
}

/**
 * Refuses a path that is no folder.
 *
 * @throws LockstepError CHECKPOINT_MISSING, offering the newest whole checkpoint beside it
 */
export async function requireFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory()) return;
  const beside = await findNewestCheckpoint(dirname(resolve(path)));
  throw new LockstepError(
    'CHECKPOINT_MISSING',
    found === null ? `There is no checkpoint at ${path}.` : `${path} is not the folder of a checkpoint.`,
    beside === null
      ? 'Give the path that the run printed, or start without --resume.'
      : `The newest whole one beside it is of step ${beside.step}: ${beside.path}`,
    { path, newestWhole: beside?.path ?? null },
  );
}
