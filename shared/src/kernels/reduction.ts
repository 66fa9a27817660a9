/** Sums in the order of a schedule, and the check for numbers that are none. */
import { defineKernel } from './kernel.ts';
import { roundedTo } from './short-floats.ts';

/** Scratch of `treeSum`: a stack of 16 addresses and as many partial sums of one chunk of at most 512 floats. */
export function treeSumScratchBytes(n: number): number {
  return 64 + 16 * 4 * Math.min(n, 512);
}

export const reductionKernels = {
  /**
   * out[0 .. n) = floats [from .. from + n) of slots, slot k lying at slots + k*slotBytes, summed in the order of the
   * int32 `schedule` (see `summationSchedule`). With a short `dtype` (see `dtypeCodes`) every node of the tree is
   * rounded to it, the slots included, so a slot may as well hold the sum of a subtree that was rounded elsewhere.
   * The slots stay as they are, unless out is a slot's own range. Empty schedules sum to 0.
   */
  treeSum: defineKernel({
    parameters: ['slots', 'slotBytes', 'schedule', 'scheduleLength', 'from', 'n', 'dtype', 'out', 'scratch'],
    group: 'reduction',
    flops: (a) => (Math.max(0, a.scheduleLength - 1) / 2) * a.n,
    bytes: (a) => 4 * ((a.scheduleLength + 1) / 2 + 1) * a.n,
    reference: ({ values }, a) => {
      const schedule = values.slice(a.schedule / 4, a.schedule / 4 + a.scheduleLength);
      for (let i = 0; i < a.n; i++) {
        const stack: number[] = [];
        for (const slot of schedule) {
          const sum =
            slot >= 0
              ? (values[(a.slots + slot * a.slotBytes) / 4 + a.from + i] as number)
              : (stack.pop() as number) + (stack.pop() as number);
          stack.push(roundedTo(sum, a.dtype));
        }
        values[a.out / 4 + i] = stack[0] ?? 0;
      }
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
