import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { outputSize } from '@lockstep/shared/kernels/convolution-geometry.ts';
import test from 'ava';
import fc from 'fast-check';
import { compareArrays } from '../../helpers/comparison.ts';
import { checkCalls, referenceCalls, runCalls, tensorOutput } from '../../helpers/kernel-check.ts';
import { assertProperty } from '../../helpers/property.ts';
import { setUpWinograd, type WinogradCase, winogradCases } from '../../helpers/winograd-case.ts';

/** The largest error, of the root mean square of the results, that any case here may have. */
const tolerance = 4e-5;

/**
 * All passes in all builds against the reference: values, zeros of halo and padding lanes, guards, bits of
 * both widths.
 */
function check(c: WinogradCase): void {
  const { harness, calls, y, dx, dw } = setUpWinograd(c);
  const pixels = c.N * outputSize(c.H, 3, c.stride, c.pad) * outputSize(c.W, 3, c.stride, c.pad);
  // A few outputs may cancel: the scale is at least that of a sum of as many random terms.
  checkCalls(harness, calls, [
    tensorOutput('y', y, tolerance, 3 * Math.sqrt(c.IC)),
    tensorOutput('dx', dx, tolerance, 3 * Math.sqrt(c.OC)),
    { name: 'dw', buffer: dw, tolerance, floor: Math.sqrt(pixels) },
  ]);
}

const plain = { stride: 1, halos: [0, 0, 0], seed: 1 } as const;
const strided = { stride: 2, pad: 1, halos: [0, 0, 0], seed: 1 } as const;

test('the three passes agree with the direct references, and both widths bit for bit', (t) => {
  t.timeout(60_000);
  assertProperty(fc.property(winogradCases(), check), 60);
  t.pass();
});

test('tiny images, where every tile hangs over the edge', (t) => {
  assertProperty(fc.property(winogradCases({ N: 3, size: 5, channels: 9 }), check), 100);
  t.pass();
});

test('channel counts of every remainder of groups and panels', (t) => {
  for (let C = 1; C <= 40; C++) {
    check({ N: 1, H: 6, W: 5, IC: C, OC: 41 - C, pad: 1, ...plain });
    check({ N: 2, H: 4, W: 4, IC: C, OC: C, pad: 1, ...plain });
    check({ N: 1, H: 9, W: 10, IC: C, OC: 41 - C, ...strided });
  }
  t.pass();
});

test('several blocks of tiles, and filters of several patches', (t) => {
  check({ N: 3, H: 28, W: 28, IC: 20, OC: 12, pad: 1, ...plain });
  check({ N: 5, H: 30, W: 17, IC: 8, OC: 24, pad: 0, ...plain });
  check({ N: 2, H: 14, W: 14, IC: 100, OC: 72, pad: 2, ...plain });
  check({ N: 9, H: 15, W: 16, IC: 36, OC: 40, pad: 1, ...plain });
  check({ N: 3, H: 47, W: 50, IC: 20, OC: 12, ...strided });
  check({ N: 9, H: 30, W: 32, IC: 36, OC: 40, ...strided });
  t.pass();
});

test('filters too large to be kept transformed: few tiles and many, in one block and in several', (t) => {
  check({ N: 2, H: 5, W: 4, IC: 200, OC: 150, pad: 1, ...plain });
  check({ N: 5, H: 12, W: 10, IC: 200, OC: 150, pad: 1, ...plain });
  check({ N: 26, H: 2, W: 2, IC: 1400, OC: 20, pad: 1, ...plain });
  check({ N: 2, H: 9, W: 8, IC: 200, OC: 150, ...strided });
  check({ N: 3, H: 24, W: 32, IC: 200, OC: 150, ...strided });
  check({ N: 26, H: 3, W: 3, IC: 940, OC: 20, ...strided });
  t.pass();
});

test('a NaN in any input fails the comparison', (t) => {
  const made = setUpWinograd({ N: 1, H: 5, W: 6, IC: 3, OC: 4, pad: 1, ...plain });
  const reference = referenceCalls(made.harness, made.calls);
  const [x, dy, y, dx] = [made.x, made.dy, made.y, made.dx].map((tensor) => tensor.buffer);
  for (const [input, output] of [
    [x, y],
    [made.w, y],
    [dy, dx],
    [made.w, dx],
    [x, made.dw],
    [dy, made.dw],
  ] as const) {
    if (!input || !output) throw new Error('a buffer is missing');
    const at = input.data.findIndex((value) => value !== 0);
    const kept = input.data[at] as number;
    input.data[at] = Number.NaN;
    for (const build of buildNames) {
      const actual = runCalls(made.harness, build, made.calls).read(output);
      t.false(compareArrays(actual, reference.read(output), 10).ok);
    }
    input.data[at] = kept;
  }
});
