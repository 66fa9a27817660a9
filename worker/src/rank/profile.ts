/** Executing a program, with or without a clock at every call. */
import type { KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import { kernels } from '@lockstep/shared/kernels/table.ts';
import type { Step } from '@lockstep/shared/model/program.ts';

/** Runs calls in order. Nothing is allocated and nothing is looked up but the function. */
export function execute(steps: readonly Step[], instance: KernelInstance): void {
  for (const { call } of steps) instance[call.kernel](...call.values);
}

/** Seconds by kernel group, summed over calls. */
export type Profile = Record<string, number>;

/** Runs calls in order and adds each one's time to its kernel's group; a clock read costs about 30 ns. */
export function executeProfiled(steps: readonly Step[], instance: KernelInstance, profile: Profile): void {
  let before = performance.now();
  for (const { call } of steps) {
    instance[call.kernel](...call.values);
    const after = performance.now();
    const { group } = kernels[call.kernel];
    profile[group] = (profile[group] ?? 0) + (after - before) / 1000;
    before = after;
  }
}
