/**
 * Work of the step that comes next, which members have before this one is committed: whoever has nothing left to do may
 * begin with it as soon as it has the new parameters. What comes of it that early waits here until the step begins.
 */
import type { ShardTask } from '@lockstep/worker/rank/tasks.ts';
import type { Delivery, Work } from './member.ts';
import { groundOf, type StepGround } from './step-in-progress.ts';

export class WorkAhead {
  /** What the step will be given out on. */
  readonly ground: StepGround;
  private deliveries: Delivery[] = [];

  /** @param tasks all of the next step's */
  constructor(tasks: readonly ShardTask[]) {
    this.ground = groundOf(tasks, null, null);
  }

  get step(): number {
    return this.ground.ledger.step;
  }

  has(work: Work): boolean {
    return this.ground.ledger.works.get(work.id) === work;
  }

  /** A sum of this step has come before its time. */
  keep(delivery: Delivery): void {
    this.deliveries.push(delivery);
  }

  /** Sums that have come, in their order; they are the caller's now. */
  take(): Delivery[] {
    return this.deliveries.splice(0);
  }

  /** The step begins: time counts from here on, for it was only now that everybody could begin. @param now milliseconds */
  begin(now: number): void {
    for (const work of this.ground.ledger.works.values()) {
      work.givenAt = now;
      work.member.record.started(now);
    }
  }

  /** The step does not begin, or not now: nothing of it is wanted. */
  withdraw(reason: string): void {
    for (const work of this.ground.ledger.works.values()) work.member.takeBack(work, reason);
    this.ground.ledger.works.clear();
    for (const { release } of this.take()) release();
  }
}
