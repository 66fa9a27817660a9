/**
 * Optimizer updates of a slice of n floats. Inputs and outputs are different buffers, so that a slice can
 * be computed twice. The bits of an element depend on its values alone, wherever the slices are cut.
 */
import { defineKernel } from './kernel.ts';

export const optimizerKernels = {
  /**
   * Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019) when `decoupled`. With g' = g*gradientScale
   * (+ weightDecay*w unless decoupled): m' = beta1*m + (1-beta1)*g'; v' = beta2*v + (1-beta2)*g'^2;
   * w' = w - lr*((m'/correction1)/(sqrt(v'/correction2) + epsilon) (+ weightDecay*w if decoupled)).
   * correction1 = 1 - beta1^t, correction2 = 1 - beta2^t for step t = 1, 2, ...
   */
  adamUpdate: defineKernel({
    parameters: [
      'w',
      'g',
      'm',
      'v',
      'wOut',
      'mOut',
      'vOut',
      'n',
      'gradientScale',
      'lr',
      'beta1',
      'beta2',
      'epsilon',
      'correction1',
      'correction2',
      'weightDecay',
      'decoupled',
    ],
    group: 'optimizer',
    flops: (a) => 18 * a.n,
    bytes: (a) => 28 * a.n,
    reference: ({ values }, a) => {
      for (let i = 0; i < a.n; i++) {
        const w = values[a.w / 4 + i];
        const g = values[a.g / 4 + i] * a.gradientScale + (a.decoupled ? 0 : a.weightDecay * w);
        const m = a.beta1 * values[a.m / 4 + i] + (1 - a.beta1) * g;
        const v = a.beta2 * values[a.v / 4 + i] + (1 - a.beta2) * g * g;
        const direction = m / a.correction1 / (Math.sqrt(v / a.correction2) + a.epsilon);
        values[a.wOut / 4 + i] = w - a.lr * (direction + (a.decoupled ? a.weightDecay * w : 0));
        values[a.mOut / 4 + i] = m;
        values[a.vOut / 4 + i] = v;
      }
    },
  }),

  /**
   * Momentum in PyTorch's formulation: g' = g*gradientScale + weightDecay*w; m' = momentum*m + g';
   * w' = w - lr*(nesterov ? g' + momentum*m' : m').
   */
  sgdUpdate: defineKernel({
    parameters: [
      'w',
      'g',
      'm',
      'wOut',
      'mOut',
      'n',
      'gradientScale',
      'lr',
      'momentum',
      'nesterov',
      'weightDecay',
    ],
    group: 'optimizer',
    flops: (a) => (a.nesterov ? 9 : 7) * a.n,
    bytes: (a) => 20 * a.n,
    reference: ({ values }, a) => {
      for (let i = 0; i < a.n; i++) {
        const w = values[a.w / 4 + i];
        const g = values[a.g / 4 + i] * a.gradientScale + a.weightDecay * w;
        const m = a.momentum * values[a.m / 4 + i] + g;
        values[a.mOut / 4 + i] = m;
        values[a.wOut / 4 + i] = w - a.lr * (a.nesterov ? g + a.momentum * m : m);
      }
    },
  }),
};
