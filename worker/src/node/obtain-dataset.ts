/** The run's data set on this machine: a copy whose hashes agree, or the coordinator's own bytes. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { DatasetDescription } from '@lockstep/shared/protocol/messages.ts';
import type { SplitTerms, Terms } from '@lockstep/shared/protocol/terms.ts';
import { cacheFolder } from '../data/cache-folder.ts';
import { findDataset } from '../data/catalogue.ts';
import type { Dataset, ImageSplit } from '../data/dataset.ts';
import { withLock } from '../data/file-lock.ts';
import { openEntry } from '../data/open-dataset.ts';
import { fetchSplit, readSplit, splitLock } from './split-cache.ts';

export interface ObtainOptions {
  readonly description: DatasetDescription;
  readonly terms: Terms;
  /** A cache folder of the user's that may hold the data set; null for the usual one alone. */
  readonly dataPath: string | null;
  readonly window: number;
  readonly fetchChunk: (hash: string, offset: number, length: number) => Promise<Uint8Array>;
  readonly onProgress: (split: string, doneBytes: number, totalBytes: number) => void;
  /** Told where the data came from, or why a copy was passed over. */
  readonly notice: (text: string) => void;
  readonly signal: AbortSignal;
}

/** @throws LockstepError DATA_CORRUPT, DISK_FULL; whatever `fetchChunk` throws */
export async function obtainDataset(options: ObtainOptions): Promise<Dataset> {
  const { description, terms, dataPath, notice } = options;
  const folders = dataPath === null ? [cacheFolder()] : [dataPath, cacheFolder()];
  for (const cache of folders) {
    const copy = await localCopy(description, cache);
    if (typeof copy !== 'string') return copy;
    if (cache === dataPath) notice(`The copy in ${dataPath} is not used: ${copy}.`);
  }
  const train = await obtainSplit('train', terms.splits.train, options);
  const test = await obtainSplit('test', terms.splits.test, options);
  return { ...plainDescription(description), train, test };
}

function plainDescription(description: DatasetDescription): Omit<Dataset, 'train' | 'test'> {
  const { name, title, classes, height, width, channels, mean, deviation } = description;
  return { name, title, classes, height, width, channels, mean, deviation };
}

/** @returns the data set, or why there is none here */
async function localCopy(description: DatasetDescription, cacheDirectory: string): Promise<Dataset | string> {
  const entry = findDataset(description.name);
  if (entry === null) return 'the catalogue does not know it';
  try {
    const found = await openEntry(entry, { cacheDirectory, fetchIfMissing: false });
    const agrees = (['train', 'test'] as const).every(
      (split) => found[split].sha256 === description[split].sha256,
    );
    if (!agrees) return 'its hashes are not those of the run';
    return { ...plainDescription(description), train: found.train, test: found.test };
  } catch (thrown) {
    if (thrown instanceof LockstepError) return thrown.message;
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

function asSplit(bytes: Uint8Array<SharedArrayBuffer>, { count, sha256 }: SplitTerms): ImageSplit {
  const images = bytes.length - count;
  return { count, images: bytes.subarray(0, images), labels: bytes.subarray(images), sha256 };
}
