/** How much rounding Winograd adds, and that its three passes are derivatives of one another. */
import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import test from 'ava';
import { compareArrays } from '../../helpers/comparison.ts';
import { logicalValues, referenceCalls, runCalls } from '../../helpers/kernel-check.ts';
import { setUpWinograd, type WinogradCase } from '../../helpers/winograd-case.ts';

const plain = { stride: 1, pad: 1, halos: [0, 0, 1], seed: 5 } as const;
const strided = { ...plain, stride: 2 } as const;

/** The largest error allowed, of the root mean square of the results, on N(0, 1) data and weights. */
const tolerance = 4e-5;

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

const layers: readonly WinogradCase[] = [
  { N: 2, H: 16, W: 16, IC: 16, OC: 16, ...plain },
  { N: 4, H: 8, W: 8, IC: 64, OC: 64, ...plain },
  { N: 2, H: 7, W: 7, IC: 256, OC: 128, ...plain },
  { N: 2, H: 4, W: 4, IC: 512, OC: 128, ...plain },
  { N: 2, H: 4, W: 4, IC: 128, OC: 512, ...plain },
  { N: 2, H: 32, W: 32, IC: 16, OC: 32, ...strided },
  { N: 2, H: 14, W: 14, IC: 128, OC: 256, ...strided },
  { N: 4, H: 8, W: 8, IC: 256, OC: 128, ...strided },
];

for (const c of layers) {
  const name = `${c.IC} -> ${c.OC} channels, ${c.H} x ${c.W}, N ${c.N}, stride ${c.stride}`;
  test(`${name}: errors stay below 4e-5 of the root mean square, and within 8 times the direct kernel's`, (t) => {
    const { harness, calls, direct, y, dx, dw } = setUpWinograd(c);
    const reference = referenceCalls(harness, calls);
    const buffers = { y: y.buffer, dx: dx.buffer, dw };
    for (const build of buildNames) {
      const worst = [calls, direct].map((list) => {
        const { read } = runCalls(harness, build, list);
        return Object.entries(buffers).map(([output, buffer]) => {
          const found = compareArrays(read(buffer), reference.read(buffer), tolerance);
          t.true(found.ok, `${build} ${output}: ${found.message}`);
          return found.worst;
        });
      });
      Object.keys(buffers).forEach((output, i) => {
        const [winograd, other] = worst.map((errors) => errors[i] as number) as [number, number];
        t.log(`${build} ${output}: Winograd ${winograd.toExponential(1)}, direct ${other.toExponential(1)}`);
        t.true(winograd < 8 * other, `${build} ${output}: ${winograd} and ${other}`);
      });
    }
  });
}

test('both gradients are the adjoints of forward, to rounding', (t) => {
  for (const c of [
    ...layers.slice(0, 2),
    { N: 3, H: 9, W: 6, IC: 20, OC: 12, stride: 1, pad: 0, halos: [1, 1, 2], seed: 6 } as const,
    { N: 2, H: 5, W: 11, IC: 7, OC: 30, stride: 1, pad: 2, halos: [0, 2, 0], seed: 7 } as const,
    { N: 3, H: 13, W: 10, IC: 7, OC: 30, stride: 2, pad: 1, halos: [1, 2, 0], seed: 8 } as const,
  ]) {
    const made = setUpWinograd(c);
    for (const build of buildNames) {
      const { read } = runCalls(made.harness, build, made.calls);
      const y = logicalValues(made.y, read(made.y.buffer));
      const dy = logicalValues(made.dy, made.dy.buffer.data);
      const inputs = dot(
        logicalValues(made.dx, read(made.dx.buffer)),
        logicalValues(made.x, made.x.buffer.data),
      );
      const weights = dot(read(made.dw), made.w.data);
      // Relative to the size of the terms: the inner products themselves may cancel.
      const scale = Math.sqrt(dot(dy, dy) * dot(y, y));
      const expected = dot(dy, y);
      for (const value of [inputs, weights]) t.true(Math.abs(value - expected) < 1e-6 * scale, build);
    }
  }
});
