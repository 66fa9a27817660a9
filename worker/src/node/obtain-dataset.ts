/** The run's data set on this machine: a copy whose hashes agree, or the coordinator's own bytes. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { DatasetDescription } from '@lockstep/shared/protocol/messages.ts';
import type { SplitTerms, Terms } from '@lockstep/shared/protocol/terms.ts';
import { cacheFolder } from '../data/cache-folder.ts';
import { describeDataset, findDataset } from '../data/catalogue.ts';
import type { Dataset, ImageSplit } from '../data/dataset.ts';
import { withLock } from '../data/file-lock.ts';
import { openEntry } from '../data/open-dataset.ts';
import { describedAs, differingSplit, openGivenDataset } from './given-dataset.ts';
import { asSplit, fetchSplit, readSplit, splitLock } from './split-cache.ts';

export interface ObtainOptions {
  readonly description: DatasetDescription;
  readonly terms: Terms;
  /**
   * Where the user says that the data set is: a cache folder, or whatever `lockstep data NAME --from` takes. Null: in
   * the usual cache, or at the coordinator.
   */
  readonly dataPath: string | null;
  readonly window: number;
  readonly fetchChunk: (hash: string, offset: number, length: number) => Promise<Uint8Array>;
  readonly onProgress: (split: string, doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
}

/**
 * @throws LockstepError DISK_FULL; DATA_CORRUPT; of a path that was given also DATA_MISSING, FILE_UNREADABLE,
 *   DATASET_UNKNOWN; whatever `fetchChunk` throws
 */
export async function obtainDataset(options: ObtainOptions): Promise<Dataset> {
  const { description, terms, dataPath, signal } = options;
  if (dataPath !== null) {
    return openGivenDataset(describeDataset(description.name), dataPath, { description, terms, signal });
  }
  const copy = await localCopy(description, signal);
  if (copy !== null) return copy;
  const train = await obtainSplit('train', terms.splits.train, options);
  const test = await obtainSplit('test', terms.splits.test, options);
  return describedAs(description, { train, test });
}

/** The copy in this machine's cache; null when there is none, or not the run's. */
async function localCopy(description: DatasetDescription, signal: AbortSignal): Promise<Dataset | null> {
  const entry = findDataset(description.name);
  if (entry === null) return null;
  try {
    const found = await openEntry(entry, { cacheDirectory: cacheFolder(), signal });
    return differingSplit(found, description) === null ? describedAs(description, found) : null;
  } catch (thrown) {
    if (thrown instanceof LockstepError) return null;
    throw thrown;
  }
}

async function obtainSplit(
  name: string,
  split: SplitTerms,
  { fetchChunk, onProgress, terms, window, signal }: ObtainOptions,
): Promise<ImageSplit> {
  const cache = cacheFolder();
  const known = await readSplit(cache, split);
  if (known !== null) return asSplit(known, split);
  // Two nodes of one machine fetch once.
  return withLock(
    splitLock(cache, split.sha256),
    async () => {
      for (let attempt = 0; attempt < 2; attempt++) {
        const bytes = await readSplit(cache, split);
        if (bytes !== null) return asSplit(bytes, split);
        const fetch = (offset: number, length: number): Promise<Uint8Array> => {
          signal.throwIfAborted();
          return fetchChunk(split.sha256, offset, length);
        };
        const onBytes = (done: number): void => onProgress(name, done, split.bytes);
        await fetchSplit(cache, split, fetch, { chunkBytes: terms.chunkBytes, window, onBytes });
      }
      const whole = await readSplit(cache, split);
      if (whole !== null) return asSplit(whole, split);
      throw new LockstepError(
        'DATA_CORRUPT',
        `The ${name} split that the coordinator sends is not the one that it names.`,
        'Check the data set on the coordinator: lockstep data NAME.',
        { split: name, sha256: split.sha256 },
      );
    },
    signal,
  );
}
