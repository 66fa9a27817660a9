import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import test from 'ava';
import fc from 'fast-check';
import { sameBits } from '../../helpers/bits.ts';
import { compareArrays } from '../../helpers/comparison.ts';
import {
  type ConvolutionCase,
  convolutionCases,
  outputOf,
  setUpConvolution,
} from '../../helpers/convolution-case.ts';
import { assertProperty } from '../../helpers/property.ts';

/** All three passes in all builds against the reference; y, dx and dw compared whole, with halos and padding lanes. */
function check(c: ConvolutionCase): void {
  const { harness, calls, y, dx, dw } = setUpConvolution(c);
  const reference = harness.reference(calls);
  const runs = buildNames.map((build) => harness.run(build, calls));
  const [OH, OW] = outputOf(c);
  const terms = { y: c.KH * c.KW * c.IC, dx: c.KH * c.KW * c.OC, dw: c.N * OH * OW };
  for (const [name, buffer] of Object.entries({ y, dx, dw })) {
    const expected = reference.read(buffer);
    const found = runs.map(({ read }) => read(buffer) as Float32Array);
    // A few outputs may cancel: the scale is at least that of a sum of as many random terms.
    const scale = Math.sqrt(terms[name as keyof typeof terms]) / 2;
    found.forEach((actual, i) => {
      const result = compareArrays(actual, expected, 3e-6, scale);
      if (!result.ok) throw new Error(`${buildNames[i]} ${name}: ${result.message}`);
    });
    sameBits(found, buildNames);
  }
}

const plain = { extra: [0, 0, 0], seed: 1 } as const;

test('the three passes agree with their references, and both widths bit for bit', (t) => {
  t.timeout(60_000);
  assertProperty(fc.property(convolutionCases(), check), 120);
  t.pass();
});

test('tiny images and kernels, where nearly everything is an edge', (t) => {
  assertProperty(fc.property(convolutionCases({ N: 3, size: 4, channels: 9, kernel: 3 }), check), 400);
  t.pass();
});

test('rows of every remainder of the register tiles', (t) => {
  for (let W = 1; W <= 26; W++) {
    check({ N: 2, H: 2, W, IC: 3, OC: 20, KH: 1, KW: 1, stride: 1, pad: 0, ...plain });
    check({ N: 1, H: 3, W, IC: 5, OC: 17, KH: 3, KW: 3, stride: 2, pad: 1, ...plain });
  }
  t.pass();
});

test('several blocks of pixels, and weights larger than the cache budget', (t) => {
  check({ N: 3, H: 20, W: 30, IC: 4, OC: 6, KH: 3, KW: 3, stride: 1, pad: 1, ...plain });
  check({ N: 7, H: 9, W: 11, IC: 3, OC: 5, KH: 2, KW: 3, stride: 1, pad: 1, ...plain });
  check({ N: 1, H: 2, W: 300, IC: 2, OC: 3, KH: 1, KW: 3, stride: 1, pad: 0, ...plain });
  check({ N: 2, H: 4, W: 4, IC: 130, OC: 132, KH: 3, KW: 3, stride: 1, pad: 1, ...plain });
  t.pass();
});

test('a NaN in any input fails the comparison', (t) => {
  const c = { N: 1, H: 5, W: 5, IC: 3, OC: 4, KH: 3, KW: 3, stride: 1, pad: 1, ...plain };
  const made = setUpConvolution(c);
  const reference = made.harness.reference(made.calls);
  for (const [input, output] of [
    [made.x, made.y],
    [made.w, made.y],
    [made.dy, made.dx],
    [made.w, made.dx],
    [made.x, made.dw],
    [made.dy, made.dw],
  ] as const) {
    const at = input.data.findIndex((value) => value !== 0);
    const kept = input.data[at] as number;
    input.data[at] = Number.NaN;
    for (const build of buildNames) {
      const actual = made.harness.run(build, made.calls).read(output);
      t.false(compareArrays(actual, reference.read(output), 10).ok);
    }
    input.data[at] = kept;
  }
});
