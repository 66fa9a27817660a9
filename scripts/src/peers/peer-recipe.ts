/** What Lockstep trains in a comparison: CIFAR's shape, from memory, no augmentation, as the other peers do. */
import { parseRecipe, type Recipe } from '@lockstep/shared/recipe.ts';
import type { Workload } from './peer-catalogue.ts';

/** @throws LockstepError RECIPE_INVALID, BATCH_TOO_SMALL */
export function peerRecipe({ model, batch, shards }: Workload): Recipe {
  return parseRecipe({
    model,
    dataset: 'synthetic',
    augmentation: 'none',
    batchSize: batch,
    shardsPerStep: shards,
  });
}
