/** From a name to a data set in shared memory. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { describeDataset } from './catalogue.ts';
import type { Dataset } from './dataset.ts';
import type { OnProgress } from './progress.ts';
import { generateDataset } from './synthetic.ts';

export interface OpenOptions {
  /** Where the cache is, if not in the default place. */
  readonly cacheDirectory?: string;
  /** Fetch what is not in the cache, when the data set can be fetched. Default: no. */
  readonly fetchIfMissing?: boolean;
  /** Compare checksums. Default: yes; it costs a fraction of a second. */
  readonly verify?: boolean;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Opens a data set out of the cache.
 *
 * @throws LockstepError DATASET_UNKNOWN, DATA_MISSING, DATA_CORRUPT, FILE_UNREADABLE
 */
export async function openDataset(name: string, _options: OpenOptions = {}): Promise<Dataset> {
  const entry = describeDataset(name);
  if (entry.format === 'generated') return generateDataset(entry);
  throw new LockstepError(
    'DATA_MISSING',
    `${entry.title} is not in the cache.`,
    `Run: lockstep data ${name}`,
  );
}
