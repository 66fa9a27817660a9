/** Comparing results bit by bit. */
import type { BuildName } from '@lockstep/shared/kernels/build-name.ts';

/** @throws Error at the first word in which two arrays differ, NaN payloads and the sign of zero included */
export function sameWords(a: Float32Array, b: Float32Array, what: string): void {
  const left = new Uint32Array(a.buffer, a.byteOffset, a.length);
  const right = new Uint32Array(b.buffer, b.byteOffset, b.length);
  if (left.length !== right.length) throw new Error(`${what}: lengths ${left.length} and ${right.length}`);
  const at = left.findIndex((word, i) => word !== right[i]);
  if (at >= 0) throw new Error(`${what}: bits differ at ${at}: ${a[at]} and ${b[at]}`);
}

/** Checks that both widths of each arithmetic gave the same bits; results are in the order of `builds`. */
export function sameBits(results: readonly Float32Array[], builds: readonly BuildName[]): void {
  for (const arithmetic of ['fma', 'mul-add']) {
    const narrow = results[builds.indexOf(`${arithmetic}-narrow` as BuildName)];
    const wide = results[builds.indexOf(`${arithmetic}-wide` as BuildName)];
    if (!narrow || !wide) throw new Error(`both widths of ${arithmetic} are needed`);
    sameWords(narrow, wide, `${arithmetic}: narrow and wide`);
  }
}
