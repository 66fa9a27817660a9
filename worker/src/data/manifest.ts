/** A note beside the cached files: where they came from, and what they were when they were checked. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export const manifestName = 'manifest.json';

export interface CachedFile {
  readonly name: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly md5: string;
  /** Lower-case hex. */
  readonly sha256: string;
}

export interface Manifest {
  /** In words: an npm package with its version, or the path that the user passed. */
  readonly source: string;
  readonly files: readonly CachedFile[];
}

function isCachedFile(value: unknown): value is CachedFile {
  if (typeof value !== 'object' || value === null) return false;
  const { name, bytes, md5, sha256 } = value as Partial<Record<keyof CachedFile, unknown>>;
  const texts = [name, md5, sha256].every((text) => typeof text === 'string');
  return texts && typeof bytes === 'number';
}

/** @returns null when there is none, or none that can be read: a missing note is no error */
export async function readManifest(folder: string): Promise<Manifest | null> {
  try {
    const parsed: unknown = JSON.parse(await readFile(join(folder, manifestName), 'utf8'));
    if (typeof parsed !== 'object' || parsed === null) return null;
    const { source, files } = parsed as Partial<Record<keyof Manifest, unknown>>;
    if (typeof source !== 'string' || !Array.isArray(files)) return null;
    return { source, files: files.filter(isCachedFile) };
  } catch {
    return null;
  }
}
