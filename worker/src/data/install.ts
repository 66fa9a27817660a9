/**
 * Puts checked files into the cache: all of them or none. Each is written beside its place, flushed and
 * renamed, so that a reader, a crash or a second writer never sees half a file.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatasetEntry } from './catalogue.ts';
import { dataCorrupt } from './data-trouble.ts';
import { checkFile } from './file-check.ts';
import { diskFull, writeTrouble } from './file-trouble.ts';
import { digestBytes } from './integrity.ts';
import { type CachedFile, type Manifest, manifestName } from './manifest.ts';
import type { SourceReader } from './official-files.ts';
import type { OnProgress } from './progress.ts';

const temporaryEnding = '.tmp';

/** Bytes of a data set's files together. */
export function datasetBytes(entry: DatasetEntry): number {
  return entry.files.reduce((sum, file) => sum + file.bytes, 0);
}

/**
 * Fails early when the disk has less room than needed; does nothing where that cannot be told.
 *
 * @throws LockstepError DISK_FULL
 */
export async function checkRoom(folder: string, bytesNeeded: number): Promise<void> {
  let free = Number.POSITIVE_INFINITY;
  try {
    const { bavail, bsize } = await statfs(folder);
    // Some network file systems report no figures at all.
    if (bsize > 0 && bavail >= 0) free = bavail * bsize;
  } catch {
    return;
  }
  if (free < bytesNeeded) throw diskFull(folder, bytesNeeded);
}

/** Writes a new file and flushes it to the disk. */
async function writeFlushed(path: string, bytes: Uint8Array | string): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Flushes the names in a folder; a system that cannot (Windows) does not need to. */
async function flushFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // The files themselves are flushed; only the order of the renames is left to the system.
  }
}

async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(temporaryEnding)) await rm(join(folder, name), { force: true });
  }
}

/**
 * Reads, checks and stores every file of a data set. The caller holds the data set's lock.
 *
 * @param source where the files come from, in words, for the manifest
 * @param read gives the canonical bytes of one file
 * @throws LockstepError DATA_CORRUPT, DISK_FULL, FILE_UNWRITABLE; then the folder is as it was before
 */
export async function installFiles(
  entry: DatasetEntry,
  folder: string,
  source: string,
  read: SourceReader,
  onProgress?: OnProgress,
  signal?: AbortSignal,
): Promise<Manifest> {
  const totalBytes = datasetBytes(entry);
  const ending = `.${randomUUID()}${temporaryEnding}`;
  const files: CachedFile[] = [];
  try {
    await mkdir(folder, { recursive: true });
    await sweep(folder);
    await checkRoom(folder, totalBytes);
    let doneBytes = 0;
    for (const file of entry.files) {
      signal?.throwIfAborted();
      onProgress?.({ phase: 'convert', doneBytes, totalBytes, file: file.name });
      const bytes = await read(file);
      const fault = await checkFile(entry, file, bytes);
      if (fault !== null) throw dataCorrupt(entry, fault);
      await writeFlushed(join(folder, file.name + ending), bytes);
      files.push({
        name: file.name,
        bytes: bytes.length,
        md5: await digestBytes('md5', bytes),
        sha256: await digestBytes('sha256', bytes),
      });
      doneBytes += bytes.length;
      onProgress?.({ phase: 'convert', doneBytes, totalBytes, file: file.name });
    }
    const manifest: Manifest = { source, files };
    await writeFlushed(join(folder, manifestName + ending), `${JSON.stringify(manifest, null, 2)}\n`);
    // The manifest first: it must never be older than the files that it describes.
    for (const name of [manifestName, ...files.map((file) => file.name)]) {
      await rename(join(folder, name + ending), join(folder, name));
    }
    await flushFolder(folder);
    return manifest;
  } catch (thrown) {
    for (const name of [manifestName, ...entry.files.map((file) => file.name)]) {
      await rm(join(folder, name + ending), { force: true }).catch(() => {});
    }
    throw writeTrouble(thrown, folder, totalBytes);
  }
}
