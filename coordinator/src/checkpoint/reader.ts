/** Reading a checkpoint into memory. */

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { canonicalJson } from '@lockstep/shared/base/canonical-json.ts';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { type Checkpoint, manifestFile } from './checkpoint.ts';
import { findNewestCheckpoint, requireFolder } from './search.ts';
import { asDamage, Damage, readManifest, readTensor } from './verify.ts';

/**
 * Reads a checkpoint and verifies all of it.
 *
 * @throws LockstepError CHECKPOINT_MISSING, or CHECKPOINT_CORRUPT naming the file, what it should hold and what it
 *   holds, and offering the newest whole checkpoint beside it
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  await requireFolder(path);
  try {
    return await readWhole(path);
  } catch (thrown) {
    if (!(thrown instanceof Damage)) throw thrown;
    const newest = await findNewestCheckpoint(dirname(resolve(path)));
    throw new LockstepError(
      'CHECKPOINT_CORRUPT',
      `Checkpoint ${path} is damaged: ${thrown.message}.`,
      newest === null
        ? 'There is no whole checkpoint beside it: start again without --resume.'
        : `Go on from the newest whole one, step ${newest.step}: --resume ${newest.path}`,
      {
        path,
        file: thrown.file,
        expected: thrown.expected,
        found: thrown.found,
        newestWhole: newest?.path ?? null,
      },
    );
  }
}

async function readWhole(path: string): Promise<Checkpoint> {
  const manifest = await readManifest(path);
  const recipeHash = createHash('sha256').update(canonicalJson(manifest.recipe)).digest('hex');
  if (recipeHash !== manifest.recipeSha256) {
    throw new Damage(manifestFile, `recipe SHA-256 ${manifest.recipeSha256}`, recipeHash);
  }
  const tensors = new Map<string, Float32Array>();
  for (const entry of manifest.tensors) {
    const { size } = await stat(join(path, entry.file)).catch((thrown: unknown) => {
      throw asDamage(thrown, entry.file, `${entry.bytes} bytes`);
    });
    // Compared before the allocation: a manifest cannot make us reserve more than the disk holds.
    if (size !== entry.bytes) throw new Damage(entry.file, `${entry.bytes} bytes`, `${size} bytes`);
    const values = new Float32Array(entry.bytes / 4);
    await readTensor(path, entry, new Uint8Array(values.buffer));
    tensors.set(entry.name, values);
  }
  const weights = tensors.get('weights');
  const entry = manifest.tensors.find(({ name }) => name === 'weights');
  if (weights === undefined || entry?.sha256 !== manifest.weightsSha256) {
    throw new Damage(manifestFile, `weights of SHA-256 ${manifest.weightsSha256}`, entry?.sha256 ?? 'none');
  }
  const optimizer = [...tensors]
    .filter(([name]) => name.startsWith('optimizer/'))
    .map(([name, values]) => [name.slice('optimizer/'.length), values] as const);
  const lossHistory = tensors.get('loss-history');
  return {
    recipe: parseRecipe(manifest.recipe),
    step: manifest.step,
    samples: manifest.samples,
    weights,
    optimizer: Object.fromEntries(optimizer),
    optimizerSteps: manifest.optimizerSteps,
    weightsSha256: manifest.weightsSha256,
    ...(lossHistory === undefined ? {} : { lossHistory }),
    ...(manifest.numerics === undefined ? {} : { numerics: manifest.numerics }),
  };
}
