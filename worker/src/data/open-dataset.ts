/** From a name to a data set in shared memory. */
import { findMissing, readCachedFiles } from './cache-check.ts';
import { cacheFolder, datasetFolder } from './cache-folder.ts';
import { type DatasetEntry, describeDataset } from './catalogue.ts';
import { dataCorrupt, dataMissing } from './data-trouble.ts';
import type { Dataset } from './dataset.ts';
import { DatasetBuilder } from './dataset-builder.ts';
import { fetchEntry } from './fetch-dataset.ts';
import type { Registry } from './npm-client.ts';
import type { OnProgress } from './progress.ts';
import { generateDataset } from './synthetic.ts';

export interface OpenOptions {
  /** Where the cache is, if not in the default place. */
  readonly cacheDirectory?: string | undefined;
  /** Fetch what is not in the cache, when the data set can be fetched. Default: no. */
  readonly fetchIfMissing?: boolean | undefined;
  /** Compare checksums, and not only lengths, headers and labels. Default: yes; it costs little. */
  readonly verify?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
  /** For tests: where packages come from instead of npm. */
  readonly registry?: Registry | undefined;
}

/** `openDataset` for an entry that need not be in the catalogue. */
export async function openEntry(entry: DatasetEntry, options: OpenOptions = {}): Promise<Dataset> {
  if (entry.format === 'generated') return generateDataset(entry);
  const { onProgress, signal, registry } = options;
  const cache = options.cacheDirectory ?? cacheFolder();
  const folder = datasetFolder(cache, entry.name);
  let missing = await findMissing(entry, folder);
  if (missing.length > 0 && options.fetchIfMissing === true && entry.source !== null) {
    await fetchEntry(entry, { cacheDirectory: cache, onProgress, signal, registry });
    missing = await findMissing(entry, folder);
  }
  if (missing.length > 0) throw dataMissing(entry, folder, missing);

  const verify = options.verify !== false;
  const known = entry.sha256;
  const builder = new DatasetBuilder(entry);
  // The splits are hashed anyway; where those hashes are pinned, the files' own need not be computed.
  const digests = verify && known === null;
  const fault = await readCachedFiles(entry, folder, { digests, onProgress, signal }, (file, bytes) =>
    builder.take(file, bytes),
  );
  if (fault !== null) throw dataCorrupt(entry, fault);
  const dataset = await builder.close();
  const { train, test } = dataset;
  if (verify && known !== null && (known.train !== train.sha256 || known.test !== test.sha256)) {
    // Something is wrong: now the files' checksums tell which one.
    const culprit = await readCachedFiles(entry, folder, { digests: true, signal }, () => {});
    const expected = `${known.train} and ${known.test}`;
    const found = `${train.sha256} and ${test.sha256}`;
    throw dataCorrupt(entry, culprit ?? { file: folder, quality: 'SHA-256 of the splits', expected, found });
  }
  return dataset;
}

/**
 * Opens a data set: out of the cache, or generated. Everything lies in shared memory.
 *
 * @throws LockstepError DATASET_UNKNOWN; DATA_MISSING with the command that fetches it; DATA_CORRUPT with
 *   the file, what was expected and what was found; FILE_UNREADABLE; with `fetchIfMissing` also what
 *   `fetchDataset` throws
 */
export async function openDataset(name: string, options: OpenOptions = {}): Promise<Dataset> {
  return openEntry(describeDataset(name), options);
}
