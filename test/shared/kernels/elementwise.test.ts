import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import test from 'ava';
import fc from 'fast-check';
import { compareArrays } from '../../helpers/comparison.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

test('add agrees with its reference and never leaves its buffers', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 50 }), fc.integer(), (quads, seed) => {
      const harness = new KernelHarness();
      const floats = quads * 4;
      const a = harness.buffer('f32', floats, (i) => Math.sin(i + seed));
      const b = harness.buffer('f32', floats, (i) => Math.cos(i * 3 + seed));
      const out = harness.buffer('f32', floats);
      const calls = [['add', { a: a.offset, b: b.offset, out: out.offset, floats }]] as const;
      const expected = harness.reference(calls).read(out);
      for (const build of buildNames) {
        const found = compareArrays(harness.run(build, calls).read(out), expected, 1e-7);
        if (!found.ok) throw new Error(`${build}: ${found.message}`);
      }
    }),
  );
  t.pass();
});
