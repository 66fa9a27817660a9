/** The errors about data sets themselves: what is wrong, and the command that puts it right. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { DatasetEntry } from './catalogue.ts';

/** The sentence that says how to get a data set into the cache. */
export function howToGet(entry: DatasetEntry): string {
  if (entry.source !== null) return `Run: lockstep data ${entry.name}`;
  if (entry.official === null) return '';
  const { page, archive } = entry.official;
  return `Get ${archive} from ${page} and run: lockstep data ${entry.name} --from PATH`;
}

/** @param files the names of what is missing */
export function dataMissing(entry: DatasetEntry, folder: string, files: readonly string[]): LockstepError {
  const what =
    files.length === entry.files.length
      ? `${entry.title} is not in the cache (${folder}).`
      : `${entry.title} is not complete in the cache: ${files.join(', ')} missing in ${folder}.`;
  return new LockstepError('DATA_MISSING', what, howToGet(entry), { name: entry.name, folder, files });
}

/** For a data set without a package, when `--from` is not given. */
export function onlyFromDisk(entry: DatasetEntry): LockstepError {
  const what = `${entry.title} cannot be fetched with npm; it comes from the archive that its authors publish.`;
  return new LockstepError('DATA_MISSING', what, howToGet(entry), { name: entry.name, ...entry.official });
}

/** One thing that is not as it should be in one file. */
export interface FileFault {
  /** Path or name, as the user knows it. */
  readonly file: string;
  /** What was compared, for example `MD5` or `bytes`. */
  readonly quality: string;
  readonly expected: string | number;
  readonly found: string | number;
}

/** @param advice what to do; by default, how to get the data set anew */
export function dataCorrupt(entry: DatasetEntry, fault: FileFault, advice = howToGet(entry)): LockstepError {
  const { file, quality, expected, found } = fault;
  return new LockstepError(
    'DATA_CORRUPT',
    `${file} is not the ${entry.title} file it should be: ${quality} expected ${expected}, found ${found}.`,
    advice,
    { name: entry.name, ...fault },
  );
}
