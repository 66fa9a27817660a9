/** Compiling the small program that times oneDNN, once, with the system's compiler and library. */
import { execFile } from 'node:child_process';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Missing } from './peer-discovery.ts';

const source = join(import.meta.dirname, 'onednn', 'kernels.cpp');
/** A build folder, so git and the formatter leave it alone. */
const folder = join(import.meta.dirname, '..', '..', 'build');

const remedy = 'On Debian: apt-get install g++ libdnnl-dev.';

/**
 * Path of the program, compiled anew when its source is newer; or why there is none.
 *
 * @param name of the program in the build folder
 */
export async function buildOnednn(
  compiler = process.env['CXX'] ?? 'g++',
  name = 'onednn-kernels',
): Promise<{ readonly program: string } | { readonly missing: Missing }> {
  const program = join(folder, name);
  try {
    if ((await modified(program)) <= (await modified(source))) {
      await mkdir(folder, { recursive: true });
      await promisify(execFile)(compiler, ['-std=c++17', '-O2', source, '-ldnnl', '-o', program]);
    }
    return { program };
  } catch (thrown) {
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    return { missing: { title: 'oneDNN', reason: compilerReason(text), remedy } };
  }
}

/** Milliseconds since 1970; 0 for a file that is not there. */
async function modified(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}

/** Pure: of what a compiler says, the line that names the first error. */
export function compilerReason(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const telling = lines.find((line) => /error:|cannot find|ENOENT/.test(line)) ?? lines[0] ?? 'unknown';
  return telling.replace(/^\S*\/(?=[^/]+:\d+)/, '').trim();
}
