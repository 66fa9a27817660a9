import { activationBytes } from '@lockstep/shared/kernels/kernel.ts';
import test from 'ava';
import fc from 'fast-check';
import {
  checkCalls,
  filledShapes,
  flags,
  halos,
  inputTensor,
  noise,
  outputTensor,
  seeds,
  shapes,
  tensorOutput,
  runCalls,
} from '../../helpers/kernel-check.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

test('fill reaches exactly its floats', (t) => {
  for (let floats = 0; floats < 20; floats++) {
    const harness = new KernelHarness();
    const p = harness.buffer('f32', 20, () => 77);
    const named = { p: p.offset, floats, value: 2.5 };
    checkCalls(harness, [['fill', named]], [{ name: 'p', buffer: p, tolerance: 0 }]);
  }
  t.pass();
});

test('flatten drops the padding lanes, and its backward pass brings them back', (t) => {
  fc.assert(
    fc.property(shapes, halos, seeds, (shape, xHalo, seed) => {
      const harness = new KernelHarness();
      const flat = { N: shape.N, H: 1, W: 1, C: shape.H * shape.W * shape.C };
      const x = inputTensor(harness, shape, xHalo, noise(seed));
      const y = outputTensor(harness, flat);
      const dx = outputTensor(harness, shape);
      checkCalls(
        harness,
        [
          ['flattenForward', { ...shape, x: x.buffer.offset, xHalo, y: y.buffer.offset }],
          ['flattenBackward', { ...shape, g: y.buffer.offset, dx: dx.buffer.offset }],
        ],
        [tensorOutput('y', y, 0), tensorOutput('dx', dx, 0)],
      );
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('the shortcut picks pixels and adds channels; its backward pass adds into what is there', (t) => {
  fc.assert(
    fc.property(
      shapes,
      fc.integer({ min: 0, max: 20 }),
      fc.integer({ min: 1, max: 3 }),
      halos,
      seeds,
      (shape, more, stride, xHalo, seed) => {
        const harness = new KernelHarness();
        const { N, H, W, C: IC } = shape;
        const OC = IC + more;
        const out = { N, H: Math.ceil(H / stride), W: Math.ceil(W / stride), C: OC };
        const x = inputTensor(harness, shape, xHalo, noise(seed));
        const y = outputTensor(harness, out);
        const g = inputTensor(harness, out, 0, noise(seed + 1));
        const dx = inputTensor(harness, shape, 0, noise(seed + 2));
        const size = { N, H, W, IC, OC, stride };
        checkCalls(
          harness,
          [
            ['shortcutForward', { ...size, x: x.buffer.offset, xHalo, y: y.buffer.offset }],
            ['shortcutBackward', { ...size, g: g.buffer.offset, dx: dx.buffer.offset }],
          ],
          [tensorOutput('y', y, 0), tensorOutput('dx', dx, 2e-7, 1)],
        );
      },
    ),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('images: shifted, then flipped, zeros outside, other samples untouched', (t) => {
  const shifts = fc.integer({ min: -4, max: 4 });
  fc.assert(
    fc.property(filledShapes, halos, shifts, shifts, flags, seeds, (drawn, yHalo, dy, dx, flip, seed) => {
      const shape = { ...drawn, C: 1 + (drawn.C % 5) };
      const { N, H, W, C } = shape;
      const harness = new KernelHarness();
      const bytes = harness.buffer('u8', 3 * H * W * C, (i) => Math.floor(128 + 128 * noise(seed)(i)));
      const table = harness.buffer('f32', C * 256, noise(seed + 1));
      const y = outputTensor(harness, shape, yHalo);
      const n = seed % N;
      const named = { image: seed % 3, y: y.buffer.offset, yHalo, n, H, W, C, dy, dx, flip };
      const one = { ...shape, N: 1, halo: yHalo };
      const bytesEach = activationBytes(1, H, W, C, yHalo);
      checkCalls(
        harness,
        [['loadImage', { bytes: bytes.offset, table: table.offset, ...named }]],
        [
          { name: 'y', buffer: y.buffer, tolerance: 0 },
          tensorOutput(
            'sample',
            {
              ...one,
              buffer: {
                kind: 'f32',
                offset: y.buffer.offset + n * bytesEach,
                length: bytesEach / 4,
                data: new Float64Array(0),
              },
            },
            0,
          ),
        ],
      );
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('an image by hand: the crop moves first, the flip mirrors the crop', (t) => {
  const harness = new KernelHarness();
  const bytes = harness.buffer('u8', 6, (i) => i + 1);
  const table = harness.buffer('f32', 256, (i) => i);
  const y = outputTensor(harness, { N: 1, H: 2, W: 3, C: 1 });
  const named = { bytes: bytes.offset, image: 0, y: y.buffer.offset, yHalo: 0, n: 0, H: 2, W: 3, C: 1 };
  const moved = { ...named, dy: 1, dx: 1, flip: 1, table: table.offset };
  const found = runCalls(harness, 'mul-add-narrow', [['loadImage', moved]]).read(y.buffer);
  // Source rows 1 2 3 and 4 5 6. Shifted by (1, 1): 5 6 0 and zeros. Mirrored: 0 6 5.
  t.deepEqual(
    [0, 4, 8, 12, 16, 20].map((i) => found[i]),
    [0, 6, 5, 0, 0, 0],
  );
});
