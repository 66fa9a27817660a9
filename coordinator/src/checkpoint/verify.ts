/** Checking a checkpoint on disk against its manifest: nothing is believed before it is checked. */

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  checkpointFormat,
  type Manifest,
  manifestFile,
  manifestSchema,
  manifestSha256,
  readableVersions,
  type TensorEntry,
} from './checkpoint.ts';
import { readHashed, systemCode } from './disk.ts';

/** Why a checkpoint cannot be used: file, what it should be and what it is. */
export class Damage extends Error {
  readonly file: string;
  readonly expected: string;
  readonly found: string;

  constructor(file: string, expected: string, found: string) {
    super(`${file}: expected ${expected}, found ${found}`);
    this.file = file;
    this.expected = expected;
    this.found = found;
  }
}

/** A manifest may not be larger than this many bytes. */
const manifestLimit = 1 << 20;

/**
 * Reads and checks the manifest alone.
 *
 * @throws Damage when it is missing, altered, of another version or malformed
 */
export async function readManifest(path: string): Promise<Manifest> {
  const file = join(path, manifestFile);
  let text: string;
  try {
    const { size } = await stat(file);
    if (size > manifestLimit)
      throw new Damage(manifestFile, `at most ${manifestLimit} bytes`, `${size} bytes`);
    text = await readFile(file, 'utf8');
  } catch (thrown) {
    throw asDamage(thrown, manifestFile, 'a file');
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Damage(manifestFile, 'JSON', `${text.length} characters that are not JSON`);
  }
  if (json === null || typeof json !== 'object' || Array.isArray(json)) {
    throw new Damage(manifestFile, 'a JSON object', 'another value');
  }
  const record = json as Record<string, unknown>;
  // Format and version first: a newer version may differ in everything else.
  if (record['format'] !== checkpointFormat) {
    throw new Damage(manifestFile, `format '${checkpointFormat}'`, `'${String(record['format'])}'`);
  }
  if (!readableVersions.some((version) => version === record['version'])) {
    throw new Damage(
      manifestFile,
      `format version ${readableVersions.join(' or ')}`,
      `version ${String(record['version'])}`,
    );
  }
  const hash = manifestSha256(record);
  if (record['manifestSha256'] !== hash) {
    throw new Damage(manifestFile, `SHA-256 ${String(record['manifestSha256'])}`, hash);
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new Damage(
      manifestFile,
      'the manifest of a checkpoint',
      `${issue?.path.join('.')}: ${issue?.message}`,
    );
  }
  return parsed.data;
}

/**
 * Checks every file of a checkpoint against its manifest, in bounded memory.
 *
 * @throws Damage
 */
export async function verifyCheckpoint(path: string): Promise<Manifest> {
  const manifest = await readManifest(path);
  for (const entry of manifest.tensors) await readTensor(path, entry, null);
  return manifest;
}

/**
 * Checks one tensor file.
 *
 * @param target where its bytes go; null only checks
 * @throws Damage
 */
export async function readTensor(path: string, entry: TensorEntry, target: Uint8Array | null): Promise<void> {
  let found: Awaited<ReturnType<typeof readHashed>>;
  try {
    found = await readHashed(join(path, entry.file), entry.bytes, target);
  } catch (thrown) {
    throw asDamage(thrown, entry.file, `${entry.bytes} bytes`);
  }
  if (found.bytes !== entry.bytes)
    throw new Damage(entry.file, `${entry.bytes} bytes`, `${found.bytes} bytes`);
  if (found.sha256 !== entry.sha256) {
    throw new Damage(entry.file, `SHA-256 ${entry.sha256}`, `${found.sha256}`);
  }
}

/** A file that is missing or unreadable, as damage; anything else passes. */
export function asDamage(thrown: unknown, file: string, expected: string): unknown {
  const code = systemCode(thrown);
  if (code === 'ENOENT' || code === 'ENOTDIR') return new Damage(file, expected, 'no such file');
  if (/^E[A-Z]+$/.test(code)) return new Damage(file, expected, `a file that cannot be read (${code})`);
  return thrown;
}
