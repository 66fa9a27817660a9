/** Executing a program, with or without a clock at every call. */
import type { KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import { costOf } from '@lockstep/shared/kernels/table.ts';
import type { Step } from '@lockstep/shared/model/program.ts';

/** Runs calls in order. Nothing is allocated and nothing is looked up but the function. */
export function execute(steps: readonly Step[], instance: KernelInstance): void {
  for (const { call } of steps) instance[call.kernel](...call.values);
}

/** What one kernel has cost for tensors of one shape, or what else a rank spends its time on. */
export interface Expense {
  /** Of the kernel; of what is none, a name like `loading`. */
  readonly group: string;
  /** The kernel, or what is done. */
  readonly name: string;
  /** In words, as in the program; empty for what is no kernel. */
  readonly shapes: string;
  readonly calls: number;
  readonly seconds: number;
  /** As the kernel's table counts them; 0 for what is no kernel. */
  readonly flops: number;
  /** That must move at least; 0 where nobody counts them. */
  readonly bytes: number;
}

/** Since the last look at it. */
export type Profile = readonly Expense[];

interface Spent {
  calls: number;
  seconds: number;
}

interface Errand extends Spent {
  readonly group: string;
  bytes: number;
}

/** Where a rank's time goes. Costs are looked up when it is read, so that counting is a sum and two clock reads. */
export class ProfileBook {
  private steps = new Map<Step, Spent>();
  private errands = new Map<string, Errand>();

  /** Runs calls in order and writes down each one's time; a clock read costs about 30 ns. */
  execute(steps: readonly Step[], instance: KernelInstance): void {
    let before = performance.now();
    for (const step of steps) {
      const { call } = step;
      instance[call.kernel](...call.values);
      const after = performance.now();
      this.count(step, (after - before) / 1000);
      before = after;
    }
  }

  /** Writes down a call of a program. */
  count(step: Step, seconds: number): void {
    const spent = this.steps.get(step) ?? { calls: 0, seconds: 0 };
    spent.calls += 1;
    spent.seconds += seconds;
    this.steps.set(step, spent);
  }

  /** Writes down what is no call of a program. @param bytes that it has moved, if somebody counts them */
  note(group: string, name: string, seconds: number, bytes: number): void {
    const errand = this.errands.get(name) ?? { group, calls: 0, seconds: 0, bytes: 0 };
    errand.calls += 1;
    errand.seconds += seconds;
    errand.bytes += bytes;
    this.errands.set(name, errand);
  }

  /** All since the last call. */
  take(): Profile {
    const steps = [...this.steps].map(([step, spent]) => expenseOf(step, spent));
    const errands = [...this.errands].map(([name, errand]) => ({ ...errand, name, shapes: '', flops: 0 }));
    this.steps = new Map();
    this.errands = new Map();
    return mergeExpenses([...steps, ...errands]);
  }
}

function expenseOf({ call, shapes }: Step, { calls, seconds }: Spent): Expense {
  const { group, flops, bytes } = costOf(call);
  return { group, name: call.kernel, shapes, calls, seconds, flops: calls * flops, bytes: calls * bytes };
}

/** Sums up what is of the same name and shapes: of several layers, programs or ranks. */
export function mergeExpenses(expenses: readonly Expense[]): Expense[] {
  const merged = new Map<string, Expense>();
  for (const expense of expenses) {
    const key = `${expense.name} ${expense.shapes}`;
    const known = merged.get(key);
    const sum = known && {
      ...known,
      calls: known.calls + expense.calls,
      seconds: known.seconds + expense.seconds,
      flops: known.flops + expense.flops,
      bytes: known.bytes + expense.bytes,
    };
    merged.set(key, sum ?? expense);
  }
  return [...merged.values()];
}
