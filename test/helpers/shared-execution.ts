/** Several ranks that make the calls of one shard together, in this thread, in any order that is allowed. */
import type { KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import type { Program } from '@lockstep/shared/model/program.ts';
import type { SharedCall } from '@lockstep/shared/model/run-sharing.ts';
import type { Dice } from './dice.ts';
import type { RunSharing } from './program-run.ts';

interface Worker {
  /** How much further what belongs to the shard lies than it would in this rank's own program. */
  readonly shift: number;
  readonly program: Program;
  calls: readonly SharedCall[];
}

/**
 * @param programs the same for each rank, laid out with its own memory; the first one's shard is computed
 * @param dice chooses who makes the next call
 */
export function sharedExecution(programs: readonly Program[], dice: Dice): RunSharing {
  const own = (programs[0] as Program).regions.own;
  return (index, kernels) => {
    const ranks = programs.map(
      (program): Worker => ({ shift: own - program.regions.own, program, calls: [] }),
    );
    const counts = new Map<number, number>();
    let next = 0;
    for (;;) {
      const able = ranks.filter(({ program, calls: [call] }) =>
        call === undefined
          ? next < (program.sharedRuns[index]?.units.length ?? 0)
          : call.after === null || (counts.get(call.after.counter) ?? 0) >= call.after.count,
      );
      if (able.length === 0) break;
      const rank = dice.pick(able);
      const [call, ...rest] = rank.calls;
      if (call === undefined) {
        rank.calls = rank.program.sharedRuns[index]?.units[next] ?? [];
        next += 1;
        continue;
      }
      rank.calls = rest;
      make(call, rank.shift, kernels);
      if (call.counts !== null) counts.set(call.counts, (counts.get(call.counts) ?? 0) + 1);
    }
    if (ranks.some(({ calls }) => calls.length > 0))
      throw new Error('a call waits for something that never comes');
  };
}

function make({ step, moved }: SharedCall, shift: number, kernels: KernelInstance): void {
  const { kernel, values } = step.call;
  kernels[kernel](...values.map((value, at) => (moved.includes(at) ? value + shift : value)));
}
