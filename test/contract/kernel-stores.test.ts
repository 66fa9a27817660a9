/** How kernels have to be written for V8's revectorization to make good code of them; see docs/log.md. */
import test from 'ava';
import { sources } from '../helpers/source-files.ts';

interface VectorStore {
  readonly address: string;
  readonly offset: number;
}

/** `v128.store(p, x, 16);` as address and offset; null for any other line. */
function storeOf(line: string): VectorStore | null {
  const [, address, offset] = /^\s*v128\.store\((\w+), .+?(?:, (\d+))?\);$/.exec(line) ?? [];
  return address === undefined ? null : { address, offset: Number(offset ?? 0) };
}

/** Lines that store the lower half of a 256-bit vector right before the higher one. */
function lowerFirst(text: string): string[] {
  const lines = text.split('\n');
  return lines.filter((line, i) => {
    const [low, high] = [storeOf(line), storeOf(lines[i + 1] ?? '')];
    return low !== null && high !== null && low.address === high.address
      ? low.offset % 32 === 0 && high.offset === low.offset + 16
      : false;
  });
}

test('of two halves of a vector the higher one is stored first: in the other order V8 stores the lower one twice', (t) => {
  t.deepEqual(lowerFirst('  v128.store(p, a);\n  v128.store(p, b, 16);'), ['  v128.store(p, a);']);
  t.deepEqual(lowerFirst('  v128.store(p, b, 16);\n  v128.store(p, a);\n  v128.store(q, a, 32);'), []);
  const kernels = sources.filter(({ path }) => path.includes('/kernels/wasm/'));
  t.true(kernels.some(({ text }) => text.split('\n').some((line) => storeOf(line) !== null)));
  t.deepEqual(
    kernels.flatMap(({ path, text }) => lowerFirst(text).map((line) => `${path}: ${line.trim()}`)),
    [],
  );
});
