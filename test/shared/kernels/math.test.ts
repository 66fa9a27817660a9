/** exp and log of the kernels, compiled alone, against the platform's, which are within 1 ulp themselves. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import test from 'ava';
import { noise } from '../../helpers/kernel-check.ts';

type Unary = (x: number) => number;

const source = fileURLToPath(import.meta.resolve('@lockstep/shared/kernels/wasm/math.ts'));
const written = new Map<string, Uint8Array<ArrayBuffer>>();
const { error } = await asc.main(['math.ts', '--outFile', 'math.wasm', '-O3', '--runtime', 'stub'], {
  readFile: (name) => (name === 'math.ts' ? readFile(source, 'utf8') : null),
  writeFile: (name, contents) => {
    written.set(name, Uint8Array.from(contents as Uint8Array));
  },
  listFiles: () => [],
});
if (error) throw error;
const { instance } = await WebAssembly.instantiate(written.get('math.wasm') as Uint8Array<ArrayBuffer>);
const { exp, log } = instance.exports as unknown as { exp: Unary; log: Unary };

/** Distance of the neighbouring float64 above |x|. */
function ulp(x: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, Math.abs(x));
  view.setBigUint64(0, view.getBigUint64(0) + 1n);
  return view.getFloat64(0) - Math.abs(x);
}

function worst(ours: Unary, theirs: Unary, inputs: Iterable<number>): number {
  let most = 0;
  for (const x of inputs) {
    const expected = theirs(x);
    if (ours(x) !== expected) most = Math.max(most, Math.abs(ours(x) - expected) / ulp(expected));
  }
  return most;
}

function* samples(count: number, at: (u: number, i: number) => number): Generator<number> {
  for (let i = 0; i < count; i++) yield at(noise(1)(i), i);
}

test('exp is within 2 ulp of the platform', (t) => {
  const found = [
    worst(
      exp,
      Math.exp,
      samples(200_000, (u) => u * 40),
    ),
    worst(
      exp,
      Math.exp,
      samples(200_000, (u) => u * 700),
    ),
    worst(
      exp,
      Math.exp,
      samples(200_000, (u, i) => u * 2 ** -(i % 60)),
    ),
    worst(
      exp,
      Math.exp,
      samples(50_000, (u) => -727 - 18 * Math.abs(u)),
    ),
  ];
  t.log(`exp: ${found.map((x) => x.toFixed(2)).join(', ')} ulp`);
  t.true(Math.max(...found) < 2);
  for (const x of [0, -0, 709.78, 709.79, 1e300, -745.1, -745.2, -1e300]) {
    const [ours, theirs] = [exp(x), Math.exp(x)];
    t.true(ours === theirs || Math.abs(ours / theirs - 1) < 1e-15, `exp(${x}) = ${ours}`);
  }
  t.is(exp(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
  t.is(exp(Number.NEGATIVE_INFINITY), 0);
  t.is(exp(Number.NaN), Number.NaN);
});

test('log is within 2 ulp of the platform', (t) => {
  const found = [
    worst(
      log,
      Math.log,
      samples(200_000, (u) => 1 + 999 * Math.abs(u)),
    ),
    worst(
      log,
      Math.log,
      samples(200_000, (u) => 2 ** (1000 * u)),
    ),
    worst(
      log,
      Math.log,
      samples(200_000, (u, i) => 1 + u * 2 ** -(1 + (i % 52))),
    ),
    worst(
      log,
      Math.log,
      samples(50_000, (u) => 5e-324 * Math.ceil(2 ** (51 * Math.abs(u)))),
    ),
  ];
  t.log(`log: ${found.map((x) => x.toFixed(2)).join(', ')} ulp`);
  t.true(Math.max(...found) < 2);
  t.is(log(1), 0);
  t.is(log(0), Number.NEGATIVE_INFINITY);
  t.is(log(-1), Number.NaN);
  t.is(log(Number.NaN), Number.NaN);
  t.is(log(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
});
