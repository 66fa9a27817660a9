/** Floats of the store on their way out and in: the protocol's bytes, whatever their number. */
import { instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { decodeFloats, encodeFloats } from '@lockstep/shared/protocol/dtype.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import { Store } from '@lockstep/worker/rank/store.ts';
import { WireFloats } from '@lockstep/worker/rank/wire-floats.ts';
import test from 'ava';
import { sameWords } from '../../helpers/bits.ts';
import { noise } from '../../helpers/kernel-check.ts';

const parameterCount = 100_003;

async function make() {
  const store = Store.allocate({
    parameterCount,
    totalCount: parameterCount,
    batchNormChannels: 0,
    shardsPerStep: 1,
    state: [],
    ranks: 3,
    scratchBytes: 64,
  });
  const kernels = instantiateKernels(await compileKernels('fma-narrow'), store.arena.memory);
  const random = noise(5);
  store.weights(0).set(Float32Array.from({ length: parameterCount }, (_, i) => 100 * random(i)));
  return { store, wire: new WireFloats(store, kernels) };
}

for (const dtype of ['f32', 'bf16', 'f16'] as const) {
  test(`${dtype}: out and in again is what the protocol says, and touches nothing else`, async (t) => {
    const { store, wire } = await make();
    for (const [from, n] of [
      [0, parameterCount],
      [1, 32_768],
      [7, 32_769],
      [99_990, 13],
      [3, 0],
    ] as const) {
      const values = Float32Array.from(store.weights(0).subarray(from, from + n));
      const wanted = encodeFloats(values, dtype).bytes;
      const bytes = new Uint8Array(wanted.length);
      wire.narrow(store.layout.weights[0] + 4 * from, n, dtype, bytes);
      t.deepEqual(Buffer.from(bytes).compare(Buffer.from(wanted)), 0, `${from} + ${n}`);
      const target = store.weights(1).fill(77);
      wire.widen(bytes, dtype, store.layout.weights[1] + 4 * from, n);
      const back = new Float32Array(n);
      decodeFloats(wanted, dtype, back);
      t.notThrows(() => sameWords(target.slice(from, from + n), back, `${from} + ${n}`));
      t.true(target.every((value, i) => (i >= from && i < from + n) || value === 77));
      // An odd address of what travelled.
      const shifted = new Uint8Array(bytes.length + 1);
      shifted.set(bytes, 1);
      target.fill(77);
      wire.widen(shifted.subarray(1), dtype, store.layout.weights[1] + 4 * from, n);
      t.notThrows(() => sameWords(target.slice(from, from + n), back, 'unaligned'));
    }
  });
}

test('a wrong number of bytes is refused before anything is written; what is not finite is counted', async (t) => {
  const { store, wire } = await make();
  const [at] = store.layout.weights;
  t.throws(() => wire.widen(new Uint8Array(9), 'bf16', at, 4), { instanceOf: RangeError });
  t.throws(() => wire.narrow(at, 4, 'f32', new Uint8Array(15)), { instanceOf: RangeError });
  t.is(wire.countNonFinite(at, parameterCount), 0);
  // The largest float32 is an infinity as a half.
  wire.widen(encodeFloats(Float32Array.of(1, 3e38, 2), 'f16').bytes, 'f16', at, 3);
  store.weights(0)[9] = Number.NaN;
  t.is(wire.countNonFinite(at, parameterCount), 2);
});
