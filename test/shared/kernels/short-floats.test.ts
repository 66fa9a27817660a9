/** The kernels' short floats are those of the protocol, bit for bit, in every build. */
import { type BuildName, buildNames, firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import { instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { dtypeCodes } from '@lockstep/shared/kernels/short-floats.ts';
import { decodeFloats, encodeFloats, roundFloats } from '@lockstep/shared/protocol/dtype.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import test from 'ava';
import { sameWords } from '../../helpers/bits.ts';
import { checkCalls, noise } from '../../helpers/kernel-check.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

/** Every half and bfloat16 with its neighbours, all ties, every exponent, NaNs of all kinds, and random words. */
function difficultWords(): Uint32Array {
  const words: number[] = [];
  for (let high = 0; high < 65_536; high++) {
    for (const low of [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff]) words.push((high << 16) | low);
  }
  for (let bits = 0; bits < 1 << 19; bits += 7) {
    for (const low of [0, 0xfff, 0x1000, 0x1001]) words.push((bits << 13) | low);
  }
  const random = noise(3);
  for (let i = 0; i < 20_000; i++) words.push(Math.floor((random(i) + 1) * 2 ** 31));
  // No multiple of 8: the loops' ends count as well.
  return Uint32Array.from(words.slice(0, words.length - (words.length % 8) - 3), (w) => w >>> 0);
}

const words = difficultWords();
const values = new Float32Array(words.buffer);
const arenaBytes = 2 ** 25;

async function bind(build: BuildName) {
  const arena = Arena.allocate(arenaBytes);
  return { arena, kernels: instantiateKernels(await compileKernels(build), arena.memory) };
}

for (const dtype of ['bf16', 'f16'] as const) {
  test(`${dtype}: rounding and 16 bits as in the protocol`, async (t) => {
    const rounded = Float32Array.from(values);
    new Uint32Array(rounded.buffer).set(words);
    roundFloats(rounded, dtype);
    const narrow = encodeFloats(values, dtype).bytes;
    for (const build of buildNames) {
      const { arena, kernels } = await bind(build);
      const [from, to] = [firstFreeByte, firstFreeByte + 2 ** 23];
      new Uint32Array(arena.memory.buffer, from, words.length).set(words);
      kernels.narrowFloats(from, words.length, dtypeCodes[dtype], to);
      const found = arena.bytes.slice(to, to + narrow.length);
      const at = narrow.findIndex((byte, i) => byte !== found[i]);
      t.is(at, -1, `${build}: word ${(words[at >> 1] ?? 0).toString(16)}`);
      kernels.roundFloats(from, words.length, dtypeCodes[dtype], to);
      const widened = Float32Array.from({ length: words.length });
      new Uint32Array(widened.buffer).set(new Uint32Array(arena.memory.buffer, to, words.length));
      t.notThrows(() => sameWords(widened, rounded, build));
      // In place, and once more: nothing changes.
      kernels.roundFloats(to, words.length, dtypeCodes[dtype], to);
      t.true(
        arena.int32(to, words.length).every((word, i) => word >>> 0 === new Uint32Array(rounded.buffer)[i]),
      );
    }
  });
}

for (const dtype of ['bf16', 'f16'] as const) {
  test(`${dtype}: all 65,536 patterns widen as in the protocol, and narrow to themselves but for signalling NaNs`, async (t) => {
    // One more: the loop's end counts as well.
    const patterns = Uint16Array.from({ length: 65_537 }, (_, i) => i);
    const wanted = new Float32Array(patterns.length);
    decodeFloats(new Uint8Array(patterns.buffer), dtype, wanted);
    for (const build of buildNames) {
      const { arena, kernels } = await bind(build);
      const [from, to] = [firstFreeByte, firstFreeByte + 2 ** 20];
      arena.bytes.set(new Uint8Array(patterns.buffer), from);
      kernels.widenFloats(from, patterns.length, dtypeCodes[dtype], to);
      const found = new Uint32Array(arena.memory.buffer, to, patterns.length);
      t.notThrows(() => sameWords(new Float32Array(Uint32Array.from(found).buffer), wanted, build));
      kernels.narrowFloats(to, patterns.length, dtypeCodes[dtype], from);
      const back = new Uint16Array(arena.memory.buffer, from, patterns.length);
      t.true(back.every((bits, i) => bits === (i & 65_535) || Number.isNaN(wanted[i])));
    }
  });
}

test('references agree, nothing around is touched, float32 is copied', (t) => {
  for (const n of [0, 1, 7, 8, 29]) {
    for (const dtype of [0, 1, 2]) {
      const harness = new KernelHarness();
      const from = harness.buffer('f32', n, (i) => noise(1)(i) * 10 ** (4 * noise(2)(i)));
      const out = harness.buffer('f32', n, () => 77);
      const bytes = harness.buffer('u8', 4 * Math.ceil(n / 2), () => 77);
      const round = ['roundFloats', { values: from.offset, n, dtype, out: out.offset }] as const;
      t.notThrows(() => checkCalls(harness, [round], [{ name: 'out', buffer: out, tolerance: 0 }]));
      if (dtype === 0) continue;
      const narrow = ['narrowFloats', { values: from.offset, n, dtype, out: bytes.offset }] as const;
      t.notThrows(() => checkCalls(harness, [narrow], [{ name: 'bytes', buffer: bytes, tolerance: 0 }]));
      const widen = ['widenFloats', { bits: bytes.offset, n, dtype, out: out.offset }] as const;
      t.notThrows(() => checkCalls(harness, [narrow, widen], [{ name: 'out', buffer: out, tolerance: 0 }]));
    }
  }
});
