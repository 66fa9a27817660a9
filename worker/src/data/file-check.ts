/** Whether the bytes of one file are what they should be. Pure. */
import type { DatasetEntry } from './catalogue.ts';
import { recordBytes } from './cifar-binary.ts';
import type { FileFault } from './data-trouble.ts';
import { checkIdxImages, checkIdxLabels, idxHeaderBytes } from './idx.ts';
import { digestBytes } from './integrity.ts';
import type { CachedFile } from './manifest.ts';
import type { SourceFile } from './source-files.ts';

/** The first label that is none of the classes, or -1. */
function strayLabel(entry: DatasetEntry, file: SourceFile, bytes: Uint8Array): number {
  const step = file.content === 'cifar' ? recordBytes(entry) : 1;
  const first = file.content === 'cifar' ? entry.labelBytes - 1 : idxHeaderBytes('labels');
  for (let at = first; at < bytes.length; at += step) {
    const label = bytes[at] ?? 0;
    if (label >= entry.classes.length) return label;
  }
  return -1;
}

/**
 * Length, header and labels.
 *
 * @param path how errors name the file
 * @returns what is wrong, or null
 */
export function checkStructure(
  entry: DatasetEntry,
  file: SourceFile,
  bytes: Uint8Array,
  path: string,
): FileFault | null {
  if (bytes.length !== file.bytes) {
    return { file: path, quality: 'bytes', expected: file.bytes, found: bytes.length };
  }
  if (file.content === 'images') {
    const fault = checkIdxImages(bytes, file.count, entry.height, entry.width);
    return fault === null ? null : { file: path, ...fault };
  }
  if (file.content === 'labels') {
    const fault = checkIdxLabels(bytes, file.count);
    if (fault !== null) return { file: path, ...fault };
  }
  const stray = strayLabel(entry, file, bytes);
  if (stray === -1) return null;
  return { file: path, quality: 'label', expected: `below ${entry.classes.length}`, found: stray };
}

/**
 * Compares the strongest checksum that is pinned, else the one taken when the file came into the cache.
 *
 * @returns what is wrong, or null; also null when nobody knows a checksum
 */
export async function checkDigest(
  file: SourceFile,
  bytes: Uint8Array,
  path: string,
  noted: CachedFile | null,
): Promise<FileFault | null> {
  const sha256 = file.sha256 ?? noted?.sha256 ?? null;
  if (file.sha256 === null && file.md5 !== null) {
    const found = await digestBytes('md5', bytes);
    return found === file.md5 ? null : { file: path, quality: 'MD5', expected: file.md5, found };
  }
  if (sha256 === null) return null;
  const found = await digestBytes('sha256', bytes);
  return found === sha256 ? null : { file: path, quality: 'SHA-256', expected: sha256, found };
}

/** Checks a file that has just come from its source: what it holds, then its digest. */
export async function checkFile(
  entry: DatasetEntry,
  file: SourceFile,
  bytes: Uint8Array,
): Promise<FileFault | null> {
  return checkStructure(entry, file, bytes, file.name) ?? (await checkDigest(file, bytes, file.name, null));
}
