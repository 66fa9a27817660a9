/** The four builds of the kernels. */

export type Arithmetic = 'fma' | 'mul-add';
export type Width = 'narrow' | 'wide';
export type BuildName = `${Arithmetic}-${Width}`;

export const buildNames: readonly BuildName[] = ['fma-narrow', 'fma-wide', 'mul-add-narrow', 'mul-add-wide'];

/** Columns of a register tile, as in `wasm/lanes.ts`: packed panels are this wide. */
export function tileColumns(build: BuildName): number {
  return build.endsWith('wide') ? 16 : 8;
}

/** Arenas and stores begin here; below lies the kernels' constant data. */
export const firstFreeByte = 65536;
