/** What the coordinator tells every node of the run, and what it measures their messages by. */
import { recipeSha256 } from '@lockstep/shared/recipe.ts';
import type { CoordinatorMessage } from '@lockstep/shared/protocol/messages.ts';
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import type { Terms } from '@lockstep/shared/protocol/terms.ts';
import type { Dataset, ImageSplit } from '@lockstep/worker/data/dataset.ts';
import { syncChannelsOf, wireDtypeOf } from '@lockstep/worker/node/run-terms.ts';
import { protocolVersion } from '@lockstep/shared/protocol/messages.ts';
import type { WorkforceParts } from '../session.ts';

export interface RunFacts {
  readonly terms: Terms;
  readonly welcome: (nodeId: number) => CoordinatorMessage<'welcome'>;
  readonly dataset: Dataset;
}

export function factsOf({ recipe, dataset, host }: WorkforceParts, limits: Limits): RunFacts {
  const { layout } = host;
  const split = ({ count, sha256, images, labels }: ImageSplit) => ({
    count,
    sha256,
    bytes: images.length + labels.length,
  });
  const { parameterCount, totalCount, batchNormChannels } = layout;
  const terms: Terms = {
    parameterCount,
    totalCount,
    batchNormChannels,
    shardsPerStep: recipe.shardsPerStep,
    wireDtype: wireDtypeOf(recipe),
    syncChannels: syncChannelsOf(recipe, layout),
    chunkBytes: limits.chunkBytes,
    splits: { train: split(dataset.train), test: split(dataset.test) },
  };
  const { name, title, classes, height, width, channels, mean, deviation } = dataset;
  const welcome = (nodeId: number): CoordinatorMessage<'welcome'> => ({
    type: 'welcome',
    protocolVersion,
    nodeId,
    recipe: { ...recipe },
    recipeSha256: recipeSha256(recipe),
    dataset: {
      name,
      title,
      height,
      width,
      channels,
      classes: [...classes],
      mean: [...mean],
      deviation: [...deviation],
      train: { count: dataset.train.count, sha256: dataset.train.sha256 },
      test: { count: dataset.test.count, sha256: dataset.test.sha256 },
    },
    chunkBytes: terms.chunkBytes,
    wireDtype: terms.wireDtype,
    layout: { parameterCount, totalCount, batchNormChannels },
    heartbeatMilliseconds: limits.heartbeatEvery,
    silenceMilliseconds: limits.silence,
  });
  return { terms, welcome, dataset };
}

/** Bytes [offset, offset + length) of a split: images, then labels. No copy. */
export function splitBytes(split: ImageSplit, offset: number, length: number): Uint8Array[] {
  const { images, labels } = split;
  const end = offset + length;
  const parts = [
    images.subarray(Math.min(offset, images.length), Math.min(end, images.length)),
    labels.subarray(Math.max(0, offset - images.length), Math.max(0, end - images.length)),
  ];
  return parts.filter((part) => part.length > 0);
}
