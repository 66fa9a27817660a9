/** Small checkpoints for tests: the contents follow from the step, so that a reader can be checked. */

import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Checkpoint, manifestSha256 } from '@lockstep/coordinator/checkpoint/checkpoint.ts';
import { parseRecipe, type RecipeInput } from '@lockstep/shared/recipe.ts';

/** A checkpoint of `size` weights in shared memory, as a real run has them. */
export function sampleCheckpoint(step: number, size = 1000, recipe: RecipeInput = {}): Checkpoint {
  const fill = (scale: number) => {
    const values = new Float32Array(new SharedArrayBuffer(size * 4));
    for (let i = 0; i < size; i++) values[i] = Math.sin(i + step) * scale;
    return values;
  };
  const weights = fill(1);
  return {
    recipe: parseRecipe(recipe),
    step,
    samples: step * 128,
    weights,
    optimizer: { first: fill(0.1), second: fill(0.01) },
    optimizerSteps: step,
    weightsSha256: createHash('sha256').update(new Uint8Array(weights.buffer)).digest('hex'),
    lossHistory: new Float32Array([2.3, 2.2]),
    numerics: 'f'.repeat(64),
  };
}

/** Rewrites a manifest; `seal` recomputes its hash, as somebody who means it would. */
export async function alterManifest(
  file: string,
  change: (manifest: Record<string, unknown>) => void,
  seal: boolean,
): Promise<void> {
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  change(manifest);
  if (seal) manifest['manifestSha256'] = manifestSha256(manifest);
  await writeFile(file, JSON.stringify(manifest));
}

/** Runs a test in a folder of its own that is gone afterwards. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-test-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
