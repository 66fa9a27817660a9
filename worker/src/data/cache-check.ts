/** Reads what is in the cache and finds what is wrong with it: one file in memory at a time. */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatasetEntry } from './catalogue.ts';
import type { FileFault } from './data-trouble.ts';
import { checkDigest, checkStructure } from './file-check.ts';
import { readTrouble, systemCode } from './file-trouble.ts';
import { readManifest } from './manifest.ts';
import type { OnProgress } from './progress.ts';
import type { SourceFile } from './source-files.ts';

/** Names of the files that are not in the folder. */
export async function findMissing(entry: DatasetEntry, folder: string): Promise<string[]> {
  const missing: string[] = [];
  for (const file of entry.files) {
    try {
      await stat(join(folder, file.name));
    } catch (thrown) {
      if (systemCode(thrown) !== 'ENOENT' && systemCode(thrown) !== 'ENOTDIR') {
        throw readTrouble(thrown, join(folder, file.name));
      }
      missing.push(file.name);
    }
  }
  return missing;
}

/** Reads at most `buffer.length` bytes: what is longer than expected need not be read to be wrong. */
async function readInto(path: string, buffer: Buffer): Promise<Buffer> {
  try {
    const handle = await open(path, 'r');
    try {
      let filled = 0;
      while (filled < buffer.length) {
        const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw readTrouble(thrown, path);
  }
}

export interface ReadOptions {
  /** Compare checksums besides lengths, headers and labels. */
  readonly digests: boolean;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Hands each file's bytes to `take`, in the catalogue's order, until one is wrong. The bytes are overwritten
 * by the next file: fresh memory costs more than reading does.
 *
 * @returns the first thing that is wrong, or null
 * @throws LockstepError FILE_UNREADABLE
 */
export async function readCachedFiles(
  entry: DatasetEntry,
  folder: string,
  options: ReadOptions,
  take: (file: SourceFile, bytes: Uint8Array) => void | Promise<void>,
): Promise<FileFault | null> {
  const noted = options.digests ? ((await readManifest(folder))?.files ?? []) : [];
  const totalBytes = entry.files.reduce((sum, file) => sum + file.bytes, 0);
  const longest = Math.max(0, ...entry.files.map((file) => file.bytes));
  const buffer = Buffer.allocUnsafeSlow(longest);
  let doneBytes = 0;
  for (const file of entry.files) {
    options.signal?.throwIfAborted();
    const path = join(folder, file.name);
    const found = await stat(path).catch((thrown: unknown) => Promise.reject(readTrouble(thrown, path)));
    if (found.size !== file.bytes) {
      return { file: path, quality: 'bytes', expected: file.bytes, found: found.size };
    }
    const bytes = await readInto(path, buffer.subarray(0, file.bytes));
    const note = noted.find((other) => other.name === file.name) ?? null;
    const fault =
      checkStructure(entry, file, bytes, path) ??
      (options.digests ? await checkDigest(file, bytes, path, note) : null);
    if (fault !== null) return fault;
    await take(file, bytes);
    doneBytes += bytes.length;
    options.onProgress?.({ phase: 'verify', doneBytes, totalBytes, file: file.name });
  }
  return null;
}

/** Whether every file is there, whole and unchanged. */
export async function isCached(
  entry: DatasetEntry,
  folder: string,
  onProgress?: OnProgress,
  signal?: AbortSignal,
): Promise<boolean> {
  if ((await findMissing(entry, folder)).length > 0) return false;
  const fault = await readCachedFiles(entry, folder, { digests: true, onProgress, signal }, () => {});
  return fault === null;
}
