/**
 * Writing a checkpoint: a hidden folder beside the others is filled, synced and then renamed, so that a
 * folder with a checkpoint's name is always a whole one, whenever the process or the machine dies.
 */

import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { recipeSha256 } from '@lockstep/shared/recipe.ts';
import {
  type Checkpoint,
  checkpointFolder,
  checkpointFormat,
  checkpointVersion,
  manifestFile,
  manifestSha256,
  stepOfFolder,
  type TensorEntry,
} from './checkpoint.ts';
import { asWriteError, syncFolder, systemCode, writeSynced } from './disk.ts';
import { checkpointNames } from './search.ts';
import { readManifest } from './verify.ts';

export interface WriteOptions {
  /** Checkpoints to keep, this one included; at least 1. */
  readonly keep: number;
  /** Time of writing, milliseconds since 1970. */
  readonly now?: number;
}

/**
 * Hidden names: `.writing-` is being filled, `.replaced-` makes room for a new one of the same step,
 * `.pruned-` is being removed. Each carries the checkpoint's name and the writer's process id.
 */
const hiddenPattern = /^\.(writing|replaced|pruned)-(checkpoint-\d+)-(\d+)-[0-9a-f]+$/;

/** Hidden folders this process is filling right now; a leftover of an earlier failure is not among them. */
const active = new Set<string>();

/**
 * Writes a checkpoint into a run folder and prunes the oldest ones after it is safely there.
 *
 * @returns the checkpoint's path
 * @throws LockstepError DISK_FULL or FILE_UNWRITABLE; then nothing half-written is left and older ones are untouched
 */
export async function writeCheckpoint(
  runDirectory: string,
  checkpoint: Checkpoint,
  { keep, now = Date.now() }: WriteOptions,
): Promise<string> {
  const name = checkpointFolder(checkpoint.step);
  const path = join(runDirectory, name);
  const writing = join(runDirectory, hiddenName('writing', name));
  active.add(writing);
  try {
    await mkdir(runDirectory, { recursive: true });
    await tidyRunDirectory(runDirectory);
    await mkdir(writing);
    await fill(writing, checkpoint, now);
    await syncFolder(writing);
    await putInPlace(runDirectory, writing, name);
  } catch (thrown) {
    await rm(writing, { recursive: true, force: true }).catch(() => undefined);
    throw asWriteError(thrown, path);
  } finally {
    active.delete(writing);
  }
  // The checkpoint is safe: a failure to clear old ones must not fail the run.
  await prune(runDirectory, Math.max(1, keep), name).catch(() => undefined);
  return path;
}

/**
 * Makes a run's folder and clears leftovers: a folder that cannot be written should show before the first
 * step, and not at the first checkpoint.
 *
 * @returns the topmost folder that had to be made, or null when all were there
 * @throws LockstepError FILE_UNWRITABLE, DISK_FULL
 */
export async function prepareRunDirectory(runDirectory: string): Promise<string | null> {
  try {
    const made = await mkdir(runDirectory, { recursive: true });
    await access(runDirectory, constants.W_OK);
    await tidyRunDirectory(runDirectory);
    return made ?? null;
  } catch (thrown) {
    throw asWriteError(thrown, runDirectory);
  }
}

/**
 * Takes back the folders that `prepareRunDirectory` made, if nothing came to lie in them: a run that ended
 * before its first checkpoint leaves no trace. Never fails.
 */
export async function dropEmptyRunDirectory(runDirectory: string, made: string | null): Promise<void> {
  if (made === null) return;
  const top = resolve(made);
  let folder = resolve(runDirectory);
  try {
    // A folder that holds anything is refused with ENOTEMPTY, and that ends the walk.
    for (await rmdir(folder); folder !== top; await rmdir(folder)) folder = dirname(folder);
  } catch {}
}

function hiddenName(purpose: 'writing' | 'replaced' | 'pruned', name: string): string {
  return `.${purpose}-${name}-${process.pid}-${randomBytes(4).toString('hex')}`;
}

async function fill(folder: string, checkpoint: Checkpoint, now: number): Promise<void> {
  const tensors: TensorEntry[] = [];
  const add = async (name: string, values: Float32Array) => {
    const file = `${name.replace('/', '-')}.f32`;
    const sha256 = await writeSynced(join(folder, file), values);
    tensors.push({ name, file, bytes: values.byteLength, sha256 });
  };
  await add('weights', checkpoint.weights);
  const written = tensors[0]?.sha256;
  if (written !== checkpoint.weightsSha256) {
    throw new LockstepError(
      'INTERNAL',
      `The weights of step ${checkpoint.step} hash to ${written} while being written, not to ${checkpoint.weightsSha256}.`,
      'They changed under the writer; this is a defect in Lockstep, please report it.',
      { step: checkpoint.step },
    );
  }
  for (const [name, values] of Object.entries(checkpoint.optimizer)) await add(`optimizer/${name}`, values);
  if (checkpoint.lossHistory !== undefined) await add('loss-history', checkpoint.lossHistory);
  const manifest = {
    format: checkpointFormat,
    version: checkpointVersion,
    recipe: checkpoint.recipe,
    recipeSha256: recipeSha256(checkpoint.recipe),
    step: checkpoint.step,
    samples: checkpoint.samples,
    optimizerSteps: checkpoint.optimizerSteps,
    weightsSha256: checkpoint.weightsSha256,
    ...(checkpoint.numerics === undefined ? {} : { numerics: checkpoint.numerics }),
    writtenAt: new Date(now).toISOString(),
    tensors,
  };
  const text = JSON.stringify({ ...manifest, manifestSha256: manifestSha256(manifest) }, null, 2);
  await writeSynced(join(folder, manifestFile), new TextEncoder().encode(`${text}\n`));
}

/** Renames the finished folder to its name; one of the same step from an earlier run steps aside first. */
async function putInPlace(runDirectory: string, writing: string, name: string): Promise<void> {
  const path = join(runDirectory, name);
  const replaced = join(runDirectory, hiddenName('replaced', name));
  const hadOne = await exists(path);
  if (hadOne) await rename(path, replaced);
  try {
    await rename(writing, path);
  } catch (thrown) {
    if (hadOne) await rename(replaced, path);
    throw thrown;
  }
  await syncFolder(runDirectory);
  if (hadOne) await rm(replaced, { recursive: true, force: true });
}

/**
 * Clears what killed writers left in a run folder. A checkpoint that had stepped aside for one that never
 * came is put back. Folders of writers that are still alive are left alone.
 */
export async function tidyRunDirectory(runDirectory: string): Promise<void> {
  for (const entry of await readdir(runDirectory).catch(() => [])) {
    const [, purpose, name, pid] = hiddenPattern.exec(entry) ?? [];
    const path = join(runDirectory, entry);
    if (purpose === undefined || name === undefined || active.has(path) || isAlive(Number(pid))) continue;
    if (purpose === 'replaced' && !(await exists(join(runDirectory, name)))) {
      await rename(path, join(runDirectory, name));
    } else {
      await rm(path, { recursive: true, force: true });
    }
  }
}

/** True when another process has this id. Our own id is that of an earlier failure, or of a namesake. */
function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return systemCode(thrown) === 'EPERM';
  }
}

/** Which checkpoints go: all but the `keep` written last. `current` stays, whatever the clocks say. */
export function choosePruned(
  found: readonly { readonly name: string; readonly writtenAt: string }[],
  keep: number,
  current: string,
): string[] {
  const newestFirst = found
    .filter(({ name }) => name !== current)
    .toSorted(
      (a, b) =>
        b.writtenAt.localeCompare(a.writtenAt) || (stepOfFolder(b.name) ?? 0) - (stepOfFolder(a.name) ?? 0),
    );
  return newestFirst.slice(Math.max(0, keep - 1)).map(({ name }) => name);
}

async function prune(runDirectory: string, keep: number, current: string): Promise<void> {
  const found: { name: string; writtenAt: string }[] = [];
  for (const name of await checkpointNames(runDirectory)) {
    // One whose manifest cannot be read is not ours to delete; it also does not count as kept.
    const manifest = await readManifest(join(runDirectory, name)).catch(() => null);
    if (manifest !== null) found.push({ name, writtenAt: manifest.writtenAt });
  }
  for (const name of choosePruned(found, keep, current)) {
    const hidden = join(runDirectory, hiddenName('pruned', name));
    await rename(join(runDirectory, name), hidden);
    await rm(hidden, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}
