/** Caches in which something is wrong, and a machine without a network: for what a user sees then. */

import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { cacheFolder, datasetFolder } from '@lockstep/worker/data/cache-folder.ts';

/** A cache of its own in `folder`, empty, and an npm that fails as npm does without a network. */
export async function offlineEnvironment(folder: string): Promise<Record<string, string>> {
  const programs = join(folder, 'programs');
  await mkdir(programs, { recursive: true });
  const complaint = '{"error": {"code": "ENOTFOUND", "summary": "request to the registry failed"}}';
  await writeFile(join(programs, 'npm'), `#!/bin/sh\necho '${complaint}'\nexit 1\n`);
  await chmod(join(programs, 'npm'), 0o755);
  const path = `${programs}${delimiter}${process.env['PATH'] ?? ''}`;
  return { LOCKSTEP_CACHE: join(folder, 'cache'), PATH: path };
}

/**
 * Puts a data set of the real cache into another one: links to its files, but one of them changed.
 *
 * @param change gets the file's bytes and returns what is to be there instead
 * @returns the path of the changed file
 */
export async function damagedCopy(
  cache: string,
  name: string,
  file: string,
  change: (bytes: Buffer) => Uint8Array,
): Promise<string> {
  const from = datasetFolder(cacheFolder(), name);
  const to = datasetFolder(cache, name);
  await mkdir(to, { recursive: true });
  for (const each of await readdir(from)) {
    if (each === file) await writeFile(join(to, each), change(await readFile(join(from, each))));
    else await symlink(join(from, each), join(to, each));
  }
  return join(to, file);
}
