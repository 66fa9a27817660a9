/**
 * The largest memory that a process of the command line had resident. This file is loaded into that process
 * too, and writes the figure down when it ends: polling from outside would miss the last moments.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { withFolder } from './checkpoint-sample.ts';
import { type Ended, lockstep, type LockstepOptions } from './command-line.ts';

const variable = 'LOCKSTEP_TEST_PEAK_MEMORY';

const target = process.env[variable];
if (target !== undefined && isMainThread) {
  process.on('exit', () => {
    // Not getrusage: what that calls the maximum begins with the size of the process that forked.
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    writeFileSync(target, String(Number(kibibytes) * 1024));
  });
}

export interface Peak {
  readonly ended: Ended;
  /** Null where the system has no /proc. */
  readonly peakBytes: number | null;
}

/** Runs `lockstep` to its end and says how much memory it had resident at most, all threads together. */
export function peakMemory(args: readonly string[], options: LockstepOptions = {}): Promise<Peak> {
  return withFolder(async (folder) => {
    const file = join(folder, 'peak');
    const known = process.platform === 'linux';
    const extra = { NODE_OPTIONS: `--import=${import.meta.url}`, [variable]: file };
    const env = { ...options.env, ...(known ? extra : {}) };
    const ended = await lockstep(args, { ...options, env });
    return { ended, peakBytes: known ? Number(await readFile(file, 'utf8')) : null };
  });
}
