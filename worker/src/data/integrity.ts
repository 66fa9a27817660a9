/** Checksums of files on disk and in memory. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import type { TarballLocation } from './npm-client.ts';

export interface Checksum {
  readonly algorithm: 'sha512' | 'sha384' | 'sha256' | 'sha1';
  /** Base64. */
  readonly digest: string;
}

const strongestFirst = ['sha512', 'sha384', 'sha256', 'sha1'] as const;

/** The strongest checksum that a registry gives for a tarball, or null when it gives none. Pure. */
export function checksumOf(location: TarballLocation): Checksum | null {
  const offered = (location.integrity ?? '').split(/\s+/);
  for (const algorithm of strongestFirst) {
    const entry = offered.find((text) => text.startsWith(`${algorithm}-`));
    // An option may follow a question mark (Subresource Integrity, section 3.1).
    const digest = entry?.slice(algorithm.length + 1).split('?')[0];
    if (digest !== undefined && digest !== '') return { algorithm, digest };
  }
  if (location.shasum === null) return null;
  return { algorithm: 'sha1', digest: Buffer.from(location.shasum, 'hex').toString('base64') };
}

/**
 * Digest of a file, read in pieces.
 *
 * @param onBytes called with the bytes done so far
 */
export async function digestFile(
  path: string,
  algorithm: string,
  encoding: 'base64' | 'hex',
  onBytes?: (doneBytes: number) => void,
): Promise<string> {
  const hash = createHash(algorithm);
  let doneBytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer);
    doneBytes += (chunk as Buffer).length;
    onBytes?.(doneBytes);
  }
  return hash.digest(encoding);
}

/** Bytes that are hashed at a time: a few milliseconds. */
export const pieceBytes = 1 << 20;

/** Lower-case hex digest of bytes in memory, one part behind the other. Timers and sockets have their turns meanwhile. */
export async function digestBytes(
  algorithm: 'md5' | 'sha256',
  ...parts: readonly Uint8Array[]
): Promise<string> {
  const hash = createHash(algorithm);
  for (const part of parts) {
    for (let at = 0; at < part.length; at += pieceBytes) {
      hash.update(part.subarray(at, at + pieceBytes));
      await breathe();
    }
  }
  return hash.digest('hex');
}
