/** Sums in a fixed order, and the check for numbers that are none. */
import { defineKernel } from './kernel.ts';

/** Most slots that one `treeSum` can add: its stack has 16 levels. */
export const treeSumLargestCount = 65535;

/** Scratch of `treeSum`: 16 partial sums of one chunk of at most 512 floats. */
export function treeSumScratchBytes(n: number): number {
  return 16 * 4 * Math.min(n, 512);
}

/** Where a range of `width` > 1 leaves splits: the largest power of two below it. */
export function treeSplit(width: number): number {
  let split = 1;
  while (split * 2 < width) split *= 2;
  return split;
}

export const reductionKernels = {
  /**
   * out[0 .. n) = sum over slots k < count of slot k's floats [from .. from + n), slot k lying at
   * slots + k*slotBytes, in the fixed tree of `treeSplit`. The slots stay as they are; out is not one of them.
   */
  treeSum: defineKernel({
    parameters: ['slots', 'slotBytes', 'count', 'from', 'n', 'out', 'scratch'],
    group: 'reduction',
    flops: (a) => Math.max(0, a.count - 1) * a.n,
    bytes: (a) => 4 * (a.count + 1) * a.n,
    reference: ({ values }, a) => {
      const sum = (i: number, first: number, width: number): number => {
        if (width === 0) return 0;
        if (width === 1) return values[(a.slots + first * a.slotBytes) / 4 + a.from + i];
        const split = treeSplit(width);
        return sum(i, first, split) + sum(i, first + split, width - split);
      };
      for (let i = 0; i < a.n; i++) values[a.out / 4 + i] = sum(i, 0, a.count);
    },
  }),

  /** Returns how many of n floats are NaN or infinite. */
  countNonFinite: defineKernel({
    parameters: ['p', 'n'],
    group: 'reduction',
    flops: () => 0,
    bytes: (a) => 4 * a.n,
    reference: ({ values }, a) =>
      values.subarray(a.p / 4, a.p / 4 + a.n).reduce((count, x) => count + (Number.isFinite(x) ? 0 : 1), 0),
  }),
};
