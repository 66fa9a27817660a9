/** Reads chosen files out of a tar archive, plain or gzipped, into memory. */
import { createReadStream } from 'node:fs';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { Parser, type ReadEntry } from 'tar';
import { readTrouble, systemCode } from './file-trouble.ts';
import type { OnProgress } from './progress.ts';

/** Larger than any file of any data set here; a larger entry is skipped, so that it cannot fill the memory. */
const maxEntryBytes = 512 * 1024 * 1024;

export interface TarballOptions {
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * @param wanted names without folders
 * @returns what was found, by name without folders; a name that is not there is not in the map
 * @throws LockstepError FILE_UNREADABLE, DATA_CORRUPT when the archive is damaged or cut off
 */
export async function readTarball(
  path: string,
  wanted: ReadonlySet<string>,
  options: TarballOptions = {},
): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  const file = basename(path, '.partial');
  let totalBytes = 0;
  try {
    totalBytes = (await stat(path)).size;
  } catch (thrown) {
    throw readTrouble(thrown, path);
  }

  const parser = new Parser({
    strict: true,
    // A bomb would need a ratio far beyond that of pictures; the entry limit bounds the memory anyway.
    filter: (name, entry) => wanted.has(basename(name)) && entry.size <= maxEntryBytes,
    onReadEntry: (entry: ReadEntry) => {
      const chunks: Buffer[] = [];
      entry.on('data', (chunk: Buffer) => chunks.push(chunk));
      entry.on('end', () => found.set(basename(entry.path), Buffer.concat(chunks)));
    },
  });
  const ended = new Promise<void>((resolve, reject) => {
    parser.on('end', () => resolve());
    parser.on('error', reject);
  });
  // The rejection is awaited below; until then it must not count as unhandled.
  ended.catch(() => {});

  try {
    let doneBytes = 0;
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      options.signal?.throwIfAborted();
      const bytes: Buffer = chunk;
      if (!parser.write(bytes)) await Promise.race([once(parser, 'drain'), ended]);
      doneBytes += bytes.length;
      options.onProgress?.({ phase: 'unpack', doneBytes, totalBytes, file });
    }
    parser.end();
    await ended;
  } catch (thrown) {
    options.signal?.throwIfAborted();
    throw damaged(path, thrown);
  }
  return found;
}

function damaged(path: string, thrown: unknown): unknown {
  const trouble = readTrouble(thrown, path);
  // The system's codes are upper case with an E in front; the archive reader has codes of its own.
  if (trouble instanceof LockstepError && /^E[A-Z]+$/.test(systemCode(thrown))) return trouble;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  const what = `${path} is not a whole tar archive (${reason}).`;
  return new LockstepError('DATA_CORRUPT', what, 'Get it again.', { file: path, reason }, thrown);
}
