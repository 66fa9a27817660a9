/** Writing so that it survives a power cut, and naming what went wrong with the disk. */

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { LockstepError } from '@lockstep/shared/base/errors.ts';

/** Bytes copied at a time: bounds the extra memory of a write or a check, whatever the model's size. */
const chunkBytes = 1 << 20;

const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** The `code` of a system error, such as `ENOENT`; empty for anything else. */
export function systemCode(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
}

/** DISK_FULL or FILE_UNWRITABLE for a system error met while writing `path`; other errors pass. */
export function asWriteError(thrown: unknown, path: string): unknown {
  const code = systemCode(thrown);
  if (thrown instanceof LockstepError || !/^E[A-Z0-9]+$/.test(code)) return thrown;
  if (fullCodes.has(code)) {
    return new LockstepError(
      'DISK_FULL',
      `No room to write ${path} (${code}); older checkpoints are untouched.`,
      'Free some space, keep fewer checkpoints (--keep) or choose another disk (--out), then go on with --resume.',
      { path, cause: code },
      thrown,
    );
  }
  return new LockstepError(
    'FILE_UNWRITABLE',
    `Cannot write ${path} (${code}).`,
    'Choose a folder that you may write to with --out.',
    { path, cause: code },
    thrown,
  );
}

/**
 * Writes a view's bytes to a new file and syncs it. Hashes exactly the bytes that reach the file: each
 * chunk is copied once, so shared memory that changes meanwhile shows as a wrong hash, not as a silent one.
 *
 * @returns SHA-256 (hex) of the file
 */
export async function writeSynced(path: string, data: ArrayBufferView): Promise<string> {
  const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const chunk = new Uint8Array(Math.min(chunkBytes, source.byteLength));
  const hash = createHash('sha256');
  const file = await open(path, 'wx');
  try {
    for (let at = 0; at < source.byteLength; at += chunkBytes) {
      const size = Math.min(chunkBytes, source.byteLength - at);
      chunk.set(source.subarray(at, at + size));
      hash.update(chunk.subarray(0, size));
      // A disk that fills up first writes short, then fails.
      let written = 0;
      while (written < size) written += (await file.write(chunk, written, size - written)).bytesWritten;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}

/** Makes the names in a folder durable. Windows cannot sync a folder and does not need to. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** What `readHashed` found: a file of another length is reported without being read. */
export interface HashedFile {
  readonly bytes: number;
  readonly sha256: string | null;
}

/**
 * Reads a file in chunks and hashes it.
 *
 * @param expectedBytes a file of any other length is not read at all
 * @param target where the bytes go, of `expectedBytes`; null only checks
 */
export async function readHashed(
  path: string,
  expectedBytes: number,
  target: Uint8Array | null,
): Promise<HashedFile> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size !== expectedBytes) return { bytes: size, sha256: null };
    const hash = createHash('sha256');
    const scratch = target === null ? new Uint8Array(Math.min(chunkBytes, size)) : null;
    let at = 0;
    while (at < size) {
      const into = scratch ?? (target as Uint8Array).subarray(at);
      const { bytesRead } = await file.read(into, 0, Math.min(chunkBytes, size - at), at);
      if (bytesRead === 0) return { bytes: at, sha256: null };
      hash.update(into.subarray(0, bytesRead));
      at += bytesRead;
    }
    return { bytes: size, sha256: hash.digest('hex') };
  } finally {
    await file.close();
  }
}
