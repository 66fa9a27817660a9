/** From what the user has on disk to a data set in shared memory; the cache is neither asked nor filled. */
import { resolve } from 'node:path';
import type { DatasetEntry } from './catalogue.ts';
import { dataCorrupt } from './data-trouble.ts';
import type { Dataset } from './dataset.ts';
import { DatasetBuilder } from './dataset-builder.ts';
import { openSourceReader } from './fetch-dataset.ts';
import { checkFile } from './file-check.ts';

/**
 * @param from whatever `lockstep data NAME --from` takes
 * @throws LockstepError FILE_UNREADABLE, DATA_MISSING when a file is not there, DATA_CORRUPT
 */
export async function openSources(entry: DatasetEntry, from: string, signal?: AbortSignal): Promise<Dataset> {
  const read = await openSourceReader(entry, resolve(from), { signal });
  const builder = new DatasetBuilder(entry);
  for (const file of entry.files) {
    signal?.throwIfAborted();
    const bytes = await read(file);
    const fault = await checkFile(entry, file, bytes);
    if (fault !== null) throw dataCorrupt(entry, fault);
    await builder.take(file, bytes);
  }
  return builder.close();
}
