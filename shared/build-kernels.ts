/**
 * Compiles the AssemblyScript kernels into `build/<arithmetic>-<width>.wasm`, four builds of one source.
 * The compiler runs in this process, one build after the other.
 */
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const here = fileURLToPath(new URL('.', import.meta.url));
await mkdir(`${here}build`, { recursive: true });

/**
 * `--maximumMemory 65536` is the largest import wasm32 allows, so any arena fits the import.
 * Static data starts at 1 KiB and ends below 64 KiB, where arenas and stores begin.
 */
const common = [
  '-O3',
  '--noAssert',
  '--runtime',
  'stub',
  '--importMemory',
  '--sharedMemory',
  '--noExportMemory',
];
const memory = ['--initialMemory', '1', '--maximumMemory', '65536', '--memoryBase', '1024'];

for (const arithmetic of ['fma', 'mul-add']) {
  for (const width of ['narrow', 'wide']) {
    const features = ['simd', 'threads', ...(arithmetic === 'fma' ? ['relaxed-simd'] : [])];
    const { error, stderr } = await asc.main([
      `${here}src/kernels/wasm/kernels.ts`,
      '--outFile',
      `${here}build/${arithmetic}-${width}.wasm`,
      ...common,
      ...memory,
      '--enable',
      features.join(','),
      ...(width === 'wide' ? ['--use', 'WIDE=1'] : []),
    ]);
    if (error) {
      process.stderr.write(`${arithmetic}-${width}: ${stderr.toString()}\n`);
      process.exit(1);
    }
  }
}
