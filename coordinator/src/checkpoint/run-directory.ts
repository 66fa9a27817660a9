/** Where a run's checkpoints go when the user does not say. */

import { join } from 'node:path';
import { type Recipe, recipeSha256 } from '@lockstep/shared/recipe.ts';

/**
 * `runs/<model>-<dataset>-<8 digits of the recipe's hash>`. The run's length (epochs, steps) is left out of
 * that hash, so that `--resume --epochs 5` finds the run that had three.
 */
export function defaultRunDirectory(recipe: Recipe): string {
  const hash = recipeSha256({ ...recipe, epochs: 1, steps: null }).slice(0, 8);
  return join('runs', `${asName(recipe.model)}-${asName(recipe.dataset)}-${hash}`);
}

/** The last part of a path, in characters that are safe in a folder's name. */
function asName(text: string): string {
  const last = text.split(/[\\/]/).findLast((part) => part !== '') ?? '';
  return last.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 60);
}
