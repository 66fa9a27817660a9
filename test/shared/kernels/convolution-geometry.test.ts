import { backwardDataHalo, convPackedBytes } from '@lockstep/shared/kernels/convolution.ts';
import { convolutionFlops, outputSize } from '@lockstep/shared/kernels/convolution-geometry.ts';
import test from 'ava';
import fc from 'fast-check';
import { convolutionCases } from '../../helpers/convolution-case.ts';
import { assertProperty } from '../../helpers/property.ts';

/** The halo along one axis by visiting every pair of an input pixel and a kernel place. */
function visitedHalo(size: number, kernel: number, stride: number, pad: number): number {
  const last = outputSize(size, kernel, stride, pad) - 1;
  let halo = 0;
  for (let x = 0; x < size; x++) {
    for (let k = 0; k < kernel; k++) {
      const output = (x + pad - k) / stride;
      if (Number.isInteger(output)) halo = Math.max(halo, -output, output - last);
    }
  }
  return halo;
}

test('backwardDataHalo is the farthest pixel that any tap reads, no more', (t) => {
  assertProperty(
    fc.property(convolutionCases({ size: 20, kernel: 7 }), ({ H, W, KH, KW, stride, pad }) => {
      const expected = Math.max(visitedHalo(H, KH, stride, pad), visitedHalo(W, KW, stride, pad));
      const found = backwardDataHalo(H, W, KH, KW, stride, pad);
      if (found !== expected) throw new Error(`${found}, expected ${expected}`);
    }),
    500,
  );
  t.pass();
});

test('halos of the layers of residual networks', (t) => {
  t.is(backwardDataHalo(32, 32, 3, 3, 1, 1), 1);
  t.is(backwardDataHalo(32, 32, 3, 3, 2, 1), 1);
  t.is(backwardDataHalo(32, 32, 1, 1, 2, 0), 0);
  t.is(backwardDataHalo(224, 224, 7, 7, 2, 3), 2);
});

test('sizes and costs of a known layer', (t) => {
  t.is(outputSize(224, 7, 2, 3), 112);
  t.is(outputSize(5, 2, 2, 0), 2);
  t.is(convPackedBytes(3, 3, 3, 20), 4 * 9 * 4 * 32);
  const shape = { N: 2, H: 8, W: 8, IC: 3, OC: 5, KH: 3, KW: 3, stride: 1, pad: 1 };
  t.is(convolutionFlops(shape), 2 * 2 * 64 * 9 * 15);
});
