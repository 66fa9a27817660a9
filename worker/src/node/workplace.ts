/** Everything a node needs for one run: model, data, ranks. It outlives a connection, not a run. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { CoordinatorMessage } from '@lockstep/shared/protocol/messages.ts';
import type { Terms } from '@lockstep/shared/protocol/terms.ts';
import { parseRecipe, type Recipe, recipeSha256 } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '../data/dataset.ts';
import { type RankHost, startHost } from '../rank/rank-host.ts';
import { modelFor } from '../rank/run-shape.ts';
import { measureSpeed } from '../rank/speed-trial.ts';
import { tasksPerRank } from '../rank/tasks-in-hand.ts';
import type { Machine } from './fingerprints.ts';
import { syncChannelsOf } from './run-terms.ts';
import { outboxCount } from './shard-desk.ts';

export interface Workplace {
  readonly recipe: Recipe;
  readonly recipeSha256: string;
  readonly dataset: Dataset;
  readonly host: RankHost;
  /** Of all ranks together, measured with the run's program; null where that cannot be done. */
  readonly imagesPerSecond: number | null;
}

/** What a welcome says, checked against this side's own idea of it. */
export interface Agreement {
  readonly recipe: Recipe;
  readonly terms: Terms;
  readonly modelTitle: string;
}

/** @throws LockstepError when the coordinator's recipe, hash or layout is not what this version makes of it */
export function agreeOn(welcome: CoordinatorMessage<'welcome'>): Agreement {
  const recipe = parseRecipe(welcome.recipe);
  const { dataset, layout, chunkBytes, wireDtype } = welcome;
  if (recipeSha256(recipe) !== welcome.recipeSha256) {
    throw disagreement('The recipe does not have the hash that the coordinator names.');
  }
  const model = modelFor(recipe, dataset);
  const own = layOut(model);
  for (const name of ['parameterCount', 'totalCount', 'batchNormChannels'] as const) {
    if (own[name] !== layout[name]) {
      throw disagreement(
        `The model has ${own[name]} as ${name} here and ${layout[name]} at the coordinator.`,
      );
    }
  }
  const image = dataset.height * dataset.width * dataset.channels + 1;
  const split = ({ count, sha256 }: { count: number; sha256: string }) => ({
    count,
    sha256,
    bytes: count * image,
  });
  const terms: Terms = {
    ...layout,
    shardsPerStep: recipe.shardsPerStep,
    wireDtype,
    syncChannels: syncChannelsOf(recipe, own),
    chunkBytes,
    splits: { train: split(dataset.train), test: split(dataset.test) },
  };
  return { recipe, terms, modelTitle: model.title };
}

function disagreement(what: string): LockstepError {
  return new LockstepError('MODEL_INVALID', what, 'Use the same version of Lockstep on both machines.');
}

/** Starts the ranks. @throws LockstepError ARENA_TOO_LARGE, RANK_FAILED, NUMERICS_UNSUPPORTED */
export async function openWorkplace(
  recipe: Recipe,
  dataset: Dataset,
  threads: number,
  machine: Machine,
): Promise<Workplace> {
  const kernels = machine.kernels[recipe.arithmetic];
  if (kernels === null) {
    throw new LockstepError(
      'NUMERICS_UNSUPPORTED',
      `This machine cannot compute with arithmetic '${recipe.arithmetic}'.`,
      'Start the run with the other arithmetic.',
    );
  }
  const outboxes = outboxCount(threads, recipe);
  const host = await startHost({ recipe, dataset, threads, kernels, state: [], outboxes, tasksPerRank });
  const imagesPerSecond = await measureSpeed(host, recipe, dataset.train.count);
  return { recipe, recipeSha256: recipeSha256(recipe), dataset, host, imagesPerSecond };
}
