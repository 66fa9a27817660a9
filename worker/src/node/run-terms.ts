/** What a recipe says about the wire. */
import type { Layout } from '@lockstep/shared/model/layout.ts';
import type { WireDtype } from '@lockstep/shared/protocol/messages.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';

/** Type of weights and gradients on the wire. */
export function wireDtypeOf(recipe: Recipe): WireDtype {
  return recipe.wireDtype;
}

/** Channels of each batch-norm layer in the order of the points of mode `sync`, else null. */
export function syncChannelsOf(recipe: Recipe, layout: Layout): readonly number[] | null {
  return recipe.batchNorm === 'sync' ? layout.syncLayers.map(({ channels }) => channels) : null;
}
