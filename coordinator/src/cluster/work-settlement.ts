/** What members bring: sums that are counted, points of mode `sync`, and work that failed. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { GradientRange } from '@lockstep/shared/model/gradient-parts.ts';
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import type { FailureCause, FailureDecision } from './failure.ts';
import type { LocalMember } from './local-member.ts';
import type { LocalSyncMember } from './local-sync-member.ts';
import type { Cover, SliceTask } from '@lockstep/worker/rank/tasks.ts';
import type { Updates } from './early-updates.ts';
import type { StepInProgress } from './step-in-progress.ts';
import type { Delivery, Work } from './member.ts';
import type { WorkDistribution } from './work-distribution.ts';

export class WorkSettlement {
  private readonly distribution: WorkDistribution;
  private readonly local: LocalMember | LocalSyncMember;
  /** The newest step, until the next one begins. */
  private step: StepInProgress | null = null;

  constructor(distribution: WorkDistribution, local: LocalMember | LocalSyncMember) {
    this.distribution = distribution;
    this.local = local;
  }

  deliver(delivery: Delivery): void {
    const { work } = delivery;
    const { from } = delivery.sum;
    if (this.distribution.ahead?.has(work) === true) return this.distribution.ahead.keep(delivery);
    if (work.member !== this.local && this.local.isRunning(from) && this.distribution.isWanted(work)) {
      // A thread of ours writes into the very slot: it is stopped first, for its shard is here.
      void this.local.abandon(from).then(() => this.deliver(delivery));
      return;
    }
    if (!this.settle(delivery)) delivery.release();
  }

  takePiece(work: Work, sum: Cover, range: GradientRange): void {
    if (this.distribution.isWanted(work)) this.distribution.current?.early.arrived(range, sum);
  }

  abandon(slot: number, release: () => void): void {
    // A block that is being updated may still be read from there.
    if (this.step?.early.forget(slot) === true) this.step.releases.push(release);
    else release();
  }

  /** A step begins. @param early sums of it that came before that */
  begin(step: StepInProgress, early: readonly Delivery[]): void {
    this.step = step;
    for (const delivery of early) this.deliver(delivery);
  }

  /** Waits for what was updated early. @returns its reports, and what of the tasks is left to do */
  async settleUpdates(tasks: readonly SliceTask[]): Promise<Updates> {
    return (await this.step?.early.settle(tasks)) ?? { reports: [], left: tasks };
  }

  /** Nobody reads the sums of the step before any more. */
  stepIsOver(): void {
    for (const release of this.step?.releases.splice(0) ?? []) release();
    this.step = null;
  }

  takePoint(work: Work, subtree: Subtree, point: number, values: Float64Array): void {
    const { current } = this.distribution;
    if (current === null || current.sync === null || !this.distribution.isWanted(work)) return;
    for (const total of current.sync.add(subtree, point, values)) {
      for (const member of current.audience) member.total(current.ledger.step, total);
    }
  }

  fail(work: Work, cause: FailureCause, reason: string): void {
    const { current, ahead } = this.distribution;
    if (ahead?.has(work) === true) {
      const { ledger } = ahead.ground;
      ledger.works.delete(work.id);
      // Whoever gets it when its step begins is chosen with this in mind.
      for (const shard of ledger.openShards(work)) ledger.failed(shard, { member: work.member.id, cause });
      const { name } = work.member;
      this.distribution.decide(
        `work of ${name} for the next step goes out again when that begins: ${reason}`,
      );
      return;
    }
    if (current === null || !current.ledger.works.delete(work.id)) return;
    const { ledger } = current;
    const fit = this.distribution.hands().map(({ id }) => id);
    let next = '';
    for (const shard of ledger.openShards(work)) {
      ledger.failed(shard, { member: work.member.id, cause });
      const decision = ledger.decide(shard, fit);
      if (decision.kind !== 'go on') {
        return current.done.reject(
          failureOf(ledger.step + 1, shard, ledger.attempts(shard), decision, reason),
        );
      }
      next ||= `; ${decision.reason}`;
    }
    this.distribution.decide(`work of ${work.member.name} goes out again: ${reason}${next}`);
    this.distribution.distribute();
  }

  /** @returns whether the sum counts: it is then kept to the end of the step */
  private settle({ work, sum, reports, store, release }: Delivery): boolean {
    const { current } = this.distribution;
    const { record } = work.member;
    if (current === null || !this.distribution.isWanted(work)) {
      record.late += sum.width;
      return false;
    }
    const { ledger } = current;
    const counts = ledger.count(sum, reports);
    if (counts) {
      store();
      current.releases.push(release);
      // The last one leaves nothing to be early for: the rest goes in larger pieces, to all ranks. So it is in mode
      // `sync`, where all shards end together.
      if (!ledger.complete && current.sync === null) current.early.arrivedWhole(sum);
      const now = this.distribution.now();
      for (const { samples, loadSeconds, computeSeconds } of reports) {
        record.delivered(samples, loadSeconds + computeSeconds, now);
      }
    } else {
      record.late += sum.width;
    }
    // Whoever else has these shards need not finish them.
    for (const other of ledger.works.values()) {
      if (ledger.openShards(other).length > 0) continue;
      ledger.works.delete(other.id);
      if (other !== work) other.member.takeBack(other, 'somebody else was faster');
    }
    if (ledger.complete) current.done.resolve(true);
    else if (this.distribution.worksOf(work.member).length === 0) this.distribution.distribute();
    return counts;
  }
}

/** @param last what the last member to fail said */
function failureOf(
  step: number,
  shard: number,
  attempts: number,
  { kind, reason }: FailureDecision,
  last: string,
): LockstepError {
  if (kind === 'not-finite') {
    return new LockstepError(
      'STEP_NOT_FINITE',
      `Step ${step} cannot be committed, its gradient is NaN or infinite: ${reason} (${last}).`,
      'Lower the learning rate or lengthen the warm-up, and go on from the last checkpoint.',
      { step, shard },
    );
  }
  return new LockstepError(
    'RANK_FAILED',
    `shard ${shard} of step ${step} was lost ${attempts} times, at last: ${last} (${reason}).`,
    'Resume from the last checkpoint, with fewer threads if memory is short.',
    { task: 'shard', shard, attempts },
  );
}
