/** Finds the files of a data set in what the user already has: a folder, an archive, a .gz of each. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { DatasetEntry } from './catalogue.ts';
import { dataCorrupt } from './data-trouble.ts';
import { readTrouble } from './file-trouble.ts';
import { digestFile } from './integrity.ts';
import type { OnProgress } from './progress.ts';
import type { SourceFile } from './source-files.ts';
import { readTarball } from './tarball.ts';

const unzip = promisify(gunzip);

/**
 * Names under which people have a file: as published, unpacked with a dot (some unpackers write
 * `train-images.idx3-ubyte`), and each gzipped. Pure.
 */
export function spellingsOf(file: SourceFile): readonly string[] {
  const dotted = file.name.replace(/-idx(\d)-/, '.idx$1-');
  return [...new Set([file.name, dotted, `${file.name}.gz`, `${dotted}.gz`])];
}

/**
 * Which of the names in one folder is which file; null when a file is not among them. Pure.
 *
 * @param names file names without folders
 */
export function matchFiles(
  files: readonly SourceFile[],
  names: ReadonlySet<string>,
): { readonly found: ReadonlyMap<SourceFile, string>; readonly missing: readonly string[] } {
  const found = new Map<SourceFile, string>();
  const missing: string[] = [];
  for (const file of files) {
    const spelling = spellingsOf(file).find((name) => names.has(name));
    if (spelling === undefined) missing.push(file.name);
    else found.set(file, spelling);
  }
  return { found, missing };
}

/** The Python versions of CIFAR have pickles of these names. */
const pythonNames = [
  'data_batch_1',
  'test_batch',
  'cifar-10-python.tar.gz',
  'cifar-100-python.tar.gz',
  'meta',
];

function notFound(
  entry: DatasetEntry,
  path: string,
  missing: readonly string[],
  names: Iterable<string>,
): LockstepError {
  const isPython = [...names].some((name) => pythonNames.includes(name));
  const archive = entry.official?.archive ?? entry.files.map((file) => file.name).join(', ');
  const advice = isPython
    ? `This is the Python version; take the binary version, ${archive}, from ${entry.official?.page ?? 'its page'}.`
    : `Pass the folder or the archive that holds ${entry.files.map((file) => file.name).join(', ')}.`;
  const what = `${path} does not hold ${entry.title}: ${missing.join(', ')} not found there or one folder below.`;
  return new LockstepError('DATA_MISSING', what, advice, { name: entry.name, path, missing });
}

/** Bytes of each file, read one at a time, so that only one lies in memory. */
export type SourceReader = (file: SourceFile) => Promise<Uint8Array>;

async function inflate(
  entry: DatasetEntry,
  name: string,
  bytes: Buffer,
  file: SourceFile,
): Promise<Uint8Array> {
  if (!name.endsWith('.gz')) return bytes;
  try {
    // A file that unpacks to more than it should is cut off here, not in memory.
    return await unzip(bytes, { maxOutputLength: file.bytes + 1 });
  } catch (thrown) {
    const found = thrown instanceof Error ? thrown.message : String(thrown);
    throw dataCorrupt(entry, { file: name, quality: 'gzip', expected: `${file.bytes} bytes`, found });
  }
}

async function readSource(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (thrown) {
    throw readTrouble(thrown, path);
  }
}

async function folderReader(
  entry: DatasetEntry,
  path: string,
  onProgress?: OnProgress,
  signal?: AbortSignal,
): Promise<SourceReader> {
  const listed = await readdir(path, { withFileTypes: true });
  const below = listed.filter((item) => item.isDirectory() || item.isSymbolicLink());
  const folders = [path, ...below.map((item) => join(path, item.name))];
  const seen = new Set<string>();
  let fewest: readonly string[] = entry.files.map((file) => file.name);
  for (const folder of folders) {
    // A folder that may not be read, or a link to no folder, does not hold what is looked for.
    const names = new Set(await readdir(folder).catch((): string[] => []));
    const { found, missing } = matchFiles(entry.files, names);
    if (missing.length === 0) {
      return async (file) => {
        const name = found.get(file) ?? file.name;
        return inflate(entry, name, await readSource(join(folder, name)), file);
      };
    }
    if (missing.length < fewest.length) fewest = missing;
    const archive = entry.official?.archive;
    if (archive !== undefined && names.has(archive)) {
      return archiveReader(entry, join(folder, archive), onProgress, signal);
    }
    for (const name of names) seen.add(name);
  }
  throw notFound(entry, path, fewest, seen);
}

async function archiveReader(
  entry: DatasetEntry,
  path: string,
  onProgress?: OnProgress,
  signal?: AbortSignal,
): Promise<SourceReader> {
  const official = entry.official;
  if (official?.archiveMd5 !== null && official !== null) {
    const found = await digestFile(path, 'md5', 'hex');
    if (found !== official.archiveMd5) {
      const advice = `Get ${official.archive} from ${official.page} again; if you packed it yourself, pass the folder.`;
      throw dataCorrupt(entry, { file: path, quality: 'MD5', expected: official.archiveMd5, found }, advice);
    }
  }
  const wanted = new Set([...entry.files.flatMap(spellingsOf), ...pythonNames]);
  const parts = await readTarball(path, wanted, { onProgress, signal });
  const { found, missing } = matchFiles(entry.files, new Set(parts.keys()));
  if (missing.length > 0) throw notFound(entry, path, missing, parts.keys());
  return async (file) => {
    const name = found.get(file) ?? file.name;
    return inflate(entry, name, parts.get(name) ?? Buffer.alloc(0), file);
  };
}

/**
 * Opens what the user passed with `--from`.
 *
 * @param path a folder with the files (or with a folder that has them, or with the official archive), a tar
 *   archive of them, or one of the files, whose folder is then meant
 * @throws LockstepError FILE_UNREADABLE, DATA_MISSING when a file is not there, DATA_CORRUPT
 */
export async function openOfficialFiles(
  entry: DatasetEntry,
  path: string,
  onProgress?: OnProgress,
  signal?: AbortSignal,
): Promise<SourceReader> {
  try {
    const isFolder = (await stat(path)).isDirectory();
    if (isFolder) return await folderReader(entry, path, onProgress, signal);
    const isMember = entry.files.some((file) => spellingsOf(file).includes(basename(path)));
    if (isMember) return await folderReader(entry, dirname(path), onProgress, signal);
    return await archiveReader(entry, path, onProgress, signal);
  } catch (thrown) {
    signal?.throwIfAborted();
    // The path is the user's, so whatever the system says about it is about reading.
    throw readTrouble(thrown, path);
  }
}
