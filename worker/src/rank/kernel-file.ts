/** Reading the compiled kernels from disk, with revectorization switched on before the first compilation. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import v8 from 'node:v8';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { BuildName } from '@lockstep/shared/kernels/build-name.ts';

let revectorizeAsked = false;

/**
 * V8 turns pairs of adjacent 128-bit operations into 256-bit ones behind this flag; bytes that were
 * compiled before keep their old code. Newer V8 dropped the prefix; an unknown name would print an error.
 * Whether it helped is measured, never assumed.
 */
export function askForRevectorization(): void {
  if (revectorizeAsked) return;
  revectorizeAsked = true;
  const major = Number(process.versions.v8.split('.')[0]);
  v8.setFlagsFromString(major < 15 ? '--experimental-wasm-revectorize' : '--wasm-revectorize');
}

/**
 * The bytes of one build.
 *
 * @throws LockstepError KERNELS_MISSING when `npm run build` has not run
 */
export async function readKernels(build: BuildName): Promise<Uint8Array<ArrayBuffer>> {
  const path = fileURLToPath(import.meta.resolve(`@lockstep/shared/build/${build}.wasm`));
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw new LockstepError(
      'KERNELS_MISSING',
      `The compiled kernels ${build}.wasm are missing.`,
      'Run `npm run build` in the repository.',
      { path },
      cause,
    );
  }
}

/**
 * Compiles one build. The module can be posted to other threads, which then share its machine code.
 *
 * @param revectorize false leaves V8's flag as it is: 128-bit code, as in an engine without that pass
 * @throws LockstepError KERNELS_MISSING
 */
export async function compileKernels(build: BuildName, revectorize = true): Promise<WebAssembly.Module> {
  if (revectorize) askForRevectorization();
  return WebAssembly.compile(await readKernels(build));
}
