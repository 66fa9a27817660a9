/**
 * Splits of data sets on disk, by content: images, then labels, in a file named by their SHA-256. A file that
 * is being fetched ends in `.part` and may be gone on with; only a whole and verified one gets its name.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { SplitTerms } from '@lockstep/shared/protocol/terms.ts';
import type { ImageSplit } from '../data/dataset.ts';
import { checkRoom } from '../data/install.ts';
import { digestFile, pieceBytes } from '../data/integrity.ts';

export function splitFolder(cache: string): string {
  return join(cache, 'splits');
}

function wholePath(cache: string, sha256: string): string {
  return join(splitFolder(cache), sha256);
}

/** Path of the lock that a fetching process holds. */
export function splitLock(cache: string, sha256: string): string {
  return `${wholePath(cache, sha256)}.lock`;
}

/** The split's bytes in shared memory; null when it is not there or not what its name says. */
export async function readSplit(
  cache: string,
  split: SplitTerms,
): Promise<Uint8Array<SharedArrayBuffer> | null> {
  const path = wholePath(cache, split.sha256);
  const found = await stat(path).catch(() => null);
  if (found === null || found.size !== split.bytes) return null;
  const bytes = new Uint8Array(new SharedArrayBuffer(split.bytes));
  if ((await readInto(path, bytes)) === split.sha256) return bytes;
  await rm(path, { force: true });
  return null;
}

/** Reads and hashes piece by piece: heartbeats go out in between. @returns SHA-256 of what was there to read */
async function readInto(path: string, bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path, 'r');
  try {
    for (let at = 0; at < bytes.length; ) {
      const { bytesRead } = await file.read(bytes, at, Math.min(pieceBytes, bytes.length - at), at);
      if (bytesRead === 0) break;
      hash.update(bytes.subarray(at, at + bytesRead));
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}

/** The bytes of a split as a part of a data set. */
export function asSplit(
  bytes: Uint8Array<SharedArrayBuffer>,
  { count, sha256 }: Pick<SplitTerms, 'count' | 'sha256'>,
): ImageSplit {
  const images = bytes.length - count;
  return { count, images: bytes.subarray(0, images), labels: bytes.subarray(images), sha256 };
}

export type FetchChunk = (offset: number, length: number) => Promise<Uint8Array>;

export interface FetchOptions {
  readonly chunkBytes: number;
  /** Requests under way at a time. */
  readonly window: number;
  readonly onBytes: (done: number) => void;
}

/**
 * Fetches a split into the cache, going on where an earlier attempt ended.
 *
 * @returns null when it is there, or the reason in words: what came was not what its name says
 */
export async function fetchSplit(
  cache: string,
  split: SplitTerms,
  fetch: FetchChunk,
  { chunkBytes, window, onBytes }: FetchOptions,
): Promise<string | null> {
  await mkdir(splitFolder(cache), { recursive: true });
  const part = `${wholePath(cache, split.sha256)}.part`;
  const before = (await stat(part).catch(() => null))?.size ?? 0;
  const start = Math.min(Math.floor(before / chunkBytes) * chunkBytes, split.bytes);
  await checkRoom(splitFolder(cache), split.bytes - start);
  if (before > 0) await truncate(part, start);
  const file = await open(part, 'a');
  try {
    const pending: Promise<Uint8Array>[] = [];
    let asked = start;
    let done = start;
    while (done < split.bytes) {
      while (asked < split.bytes && pending.length < window) {
        const length = Math.min(chunkBytes, split.bytes - asked);
        const chunk = fetch(asked, length);
        // Whoever waits for an earlier one hears of the failure first.
        chunk.catch(() => {});
        pending.push(chunk);
        asked += length;
      }
      const bytes = await (pending.shift() as Promise<Uint8Array>);
      await file.writeFile(bytes);
      done += bytes.length;
      onBytes(done);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  const digest = await digestFile(part, 'sha256', 'hex');
  if (digest !== split.sha256) {
    await rm(part, { force: true });
    return `what came has SHA-256 ${digest.slice(0, 12)} instead of ${split.sha256.slice(0, 12)}`;
  }
  await rename(part, wholePath(cache, split.sha256));
  return null;
}
