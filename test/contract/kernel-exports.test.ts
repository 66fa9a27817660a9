/** The four builds and the table of kernels name the same things, and V8's compilers survive all of them. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildNames, firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import { kernels } from '@lockstep/shared/kernels/table.ts';
import test from 'ava';

const pathOf = (build: string): string =>
  fileURLToPath(import.meta.resolve(`@lockstep/shared/build/${build}.wasm`));

/** Exports that only keep the compiler from inlining; TypeScript does not call them. */
const isInner = (name: string): boolean => name.startsWith('tile');

for (const build of buildNames) {
  test(`${build}: the build exports what the table names, and nothing else`, async (t) => {
    const module = await WebAssembly.compile(await readFile(pathOf(build)));
    const exported = WebAssembly.Module.exports(module);
    t.true(exported.every(({ kind }) => kind === 'function'));
    const named = exported.map(({ name }) => name).filter((name) => !isInner(name));
    t.deepEqual(named.toSorted(), Object.keys(kernels).toSorted());
    const imported = WebAssembly.Module.imports(module).map(({ name, kind }) => `${kind} ${name}`);
    t.true(imported.includes('memory memory'));
    t.deepEqual(
      imported.filter((name) => !['memory memory', 'function abort'].includes(name)),
      [],
    );
  });

  test(`${build}: every kernel takes as many arguments as the table names`, async (t) => {
    const pages = firstFreeByte / 65536 + 1;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const env = { memory, abort: () => t.fail('aborted') };
    const { instance } = await WebAssembly.instantiate(await readFile(pathOf(build)), { env });
    for (const [name, { parameters }] of Object.entries(kernels)) {
      t.is((instance.exports[name] as (...values: number[]) => void).length, parameters.length, name);
    }
  });

  test(`${build}: its constants lie below the first free byte`, async (t) => {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
    const bytes = new Uint8Array(memory.buffer);
    bytes.fill(0xa5, firstFreeByte);
    await WebAssembly.instantiate(await readFile(pathOf(build)), { env: { memory, abort: () => {} } });
    t.true(bytes.subarray(firstFreeByte).every((byte) => byte === 0xa5));
  });

  // V8 14's revectorization crashed the process on one kernel once, when the optimizing compiler reached it: that is
  // minutes into a run, when the kernel is hot. Here everything is optimized at once.
  for (const revectorize of [true, false]) {
    const words = revectorize ? 'with revectorization' : 'without revectorization';
    test(`${build}: the optimizing compiler survives every function, ${words}`, async (t) => {
      const major = Number(process.versions.v8.split('.')[0]);
      const flag = major < 15 ? '--experimental-wasm-revectorize' : '--wasm-revectorize';
      const script = `new WebAssembly.Module(require('node:fs').readFileSync(${JSON.stringify(pathOf(build))}));
        process.stdout.write('compiled')`;
      const flags = ['--no-liftoff', '--no-wasm-lazy-compilation', ...(revectorize ? [flag] : [])];
      const { stdout } = await promisify(execFile)(process.execPath, [...flags, '--eval', script]);
      t.is(stdout, 'compiled');
    });
  }
}
