/** Bias with an optional relu. */
import { defineKernel } from './kernel.ts';
import { eachElement, floatsOf, maskedGradient, reader, rectified, writeTensor } from './reference-tensor.ts';

export const biasKernels = {
  /**
   * y = relu?(z + bias), bias `[C]`. z has no halo and may hold anything in its padding lanes; those of y
   * and its halo become 0. y may be z when yHalo = 0.
   */
  biasForward: defineKernel({
    parameters: ['z', 'bias', 'y', 'yHalo', 'N', 'H', 'W', 'C', 'relu'],
    group: 'bias and activation',
    flops: (a) => 2 * a.N * a.H * a.W * a.C,
    bytes: (a) => 8 * floatsOf(a),
    reference: ({ values }, a) => {
      const z = reader(values, { ...a, address: a.z, halo: 0 });
      writeTensor(values, { ...a, address: a.y, halo: a.yHalo }, (n, h, w, c) =>
        rectified(z(n, h, w, c) + values[a.bias / 4 + c], a.relu),
      );
    },
  }),

  /**
   * dz = (g + g2?) where y > 0 (if relu), dBias `[C]` = its sum over the pixels. g and g2 (0: absent)
   * have no halo, dz's becomes 0. dz may be g when dzHalo = 0; y is not read without relu.
   */
  biasBackward: defineKernel({
    parameters: ['g', 'g2', 'y', 'yHalo', 'dz', 'dzHalo', 'N', 'H', 'W', 'C', 'relu', 'dBias'],
    group: 'bias and activation',
    flops: (a) => (a.g2 ? 3 : 2) * a.N * a.H * a.W * a.C,
    bytes: (a) => (8 + (a.g2 ? 4 : 0) + (a.relu ? 4 : 0)) * floatsOf(a),
    reference: ({ values }, a) => {
      const place = { ...a, address: a.dz, halo: a.dzHalo };
      writeTensor(values, place, maskedGradient(values, a, a.relu));
      const dz = reader(values, place);
      values.fill(0, a.dBias / 4, a.dBias / 4 + a.C);
      eachElement(a, (n, h, w, c) => void (values[a.dBias / 4 + c] += dz(n, h, w, c)));
    },
  }),
};
