/** `--data`: the data set that the user says is on this machine, held against what the coordinator says of it. */
import { resolve } from 'node:path';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { DatasetDescription } from '@lockstep/shared/protocol/messages.ts';
import type { Terms } from '@lockstep/shared/protocol/terms.ts';
import { findMissing } from '../data/cache-check.ts';
import { datasetFolder } from '../data/cache-folder.ts';
import type { DatasetEntry } from '../data/catalogue.ts';
import type { Dataset, SplitName } from '../data/dataset.ts';
import { openEntry } from '../data/open-dataset.ts';
import { openSources } from '../data/open-sources.ts';
import { asSplit, readSplit } from './split-cache.ts';

export interface GivenOptions {
  readonly description: DatasetDescription;
  readonly terms: Pick<Terms, 'splits'>;
  readonly signal: AbortSignal;
}

/**
 * @param given a cache folder, or whatever `lockstep data NAME --from` takes
 * @throws LockstepError FILE_UNREADABLE, DATA_MISSING, DATA_CORRUPT also when it is whole and not the run's
 */
export async function openGivenDataset(
  entry: DatasetEntry,
  given: string,
  { description, terms, signal }: GivenOptions,
): Promise<Dataset> {
  const path = resolve(given);
  // A cache that a node filled from its coordinator has splits, not files.
  const train = await readSplit(path, terms.splits.train);
  const test = train === null ? null : await readSplit(path, terms.splits.test);
  if (train !== null && test !== null) {
    return describedAs(description, {
      train: asSplit(train, terms.splits.train),
      test: asSplit(test, terms.splits.test),
    });
  }
  const missing = await findMissing(entry, datasetFolder(path, entry.name));
  // Some of its files in the place of a cache: the error should name those that are not there.
  const isCache = missing.length < entry.files.length || entry.format === 'generated';
  const found = isCache
    ? await openEntry(entry, { cacheDirectory: path, signal })
    : await openSources(entry, path, signal);
  const wrong = differingSplit(found, description);
  if (wrong === null) return describedAs(description, found);
  const [theirs, own] = [description[wrong].sha256, found[wrong].sha256];
  throw new LockstepError(
    'DATA_CORRUPT',
    `${given} holds another ${entry.title} than the run's: the SHA-256 of its ${wrong} split is ${own}, not ${theirs}.`,
    'Pass the data that the coordinator has, or leave --data away: then it sends them.',
    { path: given, split: wrong, expected: theirs, found: own },
  );
}

/** The first split that is not what the coordinator names. */
export function differingSplit(found: Dataset, description: DatasetDescription): SplitName | null {
  const names = ['train', 'test'] as const;
  return names.find((split) => found[split].sha256 !== description[split].sha256) ?? null;
}

/** Splits under the coordinator's own words for them. */
export function describedAs(
  description: DatasetDescription,
  { train, test }: Pick<Dataset, 'train' | 'test'>,
): Dataset {
  const { name, title, classes, height, width, channels, mean, deviation } = description;
  return { name, title, classes, height, width, channels, mean, deviation, train, test };
}
