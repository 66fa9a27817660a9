/** Elementwise kernels over whole buffers. */
import { defineKernel } from './kernel.ts';

export const elementwiseKernels = {
  /** out[i] = a[i] + b[i] for `floats` elements, a multiple of 4; out may be a or b. */
  add: defineKernel({
    parameters: ['a', 'b', 'out', 'floats'],
    group: 'data movement',
    flops: (a) => a.floats,
    bytes: (a) => 12 * a.floats,
    reference: ({ values }, a) => {
      for (let i = 0; i < a.floats; i++) {
        values[a.out / 4 + i] = (values[a.a / 4 + i] ?? Number.NaN) + (values[a.b / 4 + i] ?? Number.NaN);
      }
    },
  }),
};
