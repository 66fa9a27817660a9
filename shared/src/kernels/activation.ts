/** Activations and sums of activations. */
import { defineKernel } from './kernel.ts';
import { floatsOf, maskedGradient, reader, rectified, writeTensor } from './reference-tensor.ts';

export const activationKernels = {
  /** y = max(x, 0); y's halo becomes 0. y may be x when the halos are equal. */
  reluForward: defineKernel({
    parameters: ['x', 'xHalo', 'y', 'yHalo', 'N', 'H', 'W', 'C'],
    group: 'bias and activation',
    flops: (a) => a.N * a.H * a.W * a.C,
    bytes: (a) => 8 * floatsOf(a),
    reference: ({ values }, a) => {
      const x = reader(values, { ...a, address: a.x, halo: a.xHalo });
      writeTensor(values, { ...a, address: a.y, halo: a.yHalo }, (n, h, w, c) => rectified(x(n, h, w, c), 1));
    },
  }),

  /** dx = (g + g2?) where y > 0; g, g2 (0: absent) and dx have no halo; dx may be g. */
  reluBackward: defineKernel({
    parameters: ['g', 'g2', 'y', 'yHalo', 'dx', 'N', 'H', 'W', 'C'],
    group: 'bias and activation',
    flops: (a) => (a.g2 ? 2 : 1) * a.N * a.H * a.W * a.C,
    bytes: (a) => (a.g2 ? 16 : 12) * floatsOf(a),
    reference: ({ values }, a) => {
      writeTensor(values, { ...a, address: a.dx, halo: 0 }, maskedGradient(values, a, 1));
    },
  }),

  /** y = relu?(a + b); y's halo becomes 0. y may be a or b when the halos are equal. */
  addForward: defineKernel({
    parameters: ['a', 'aHalo', 'b', 'bHalo', 'y', 'yHalo', 'N', 'H', 'W', 'C', 'relu'],
    group: 'bias and activation',
    flops: (a) => 2 * a.N * a.H * a.W * a.C,
    bytes: (a) => 12 * floatsOf(a),
    reference: ({ values }, a) => {
      const left = reader(values, { ...a, address: a.a, halo: a.aHalo });
      const right = reader(values, { ...a, address: a.b, halo: a.bHalo });
      writeTensor(values, { ...a, address: a.y, halo: a.yHalo }, (n, h, w, c) =>
        rectified(left(n, h, w, c) + right(n, h, w, c), a.relu),
      );
    },
  }),
};
