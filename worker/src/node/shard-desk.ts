/**
 * A node's work: assignments come in, shards go to the ranks, sums of subtrees go out. A shard that was computed
 * stays in its slot as long as its step lasts, so work that is taken back and given again in other pieces costs
 * nothing twice.
 */
import { planStep, type StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import { decodeFloats, encodeFloats } from '@lockstep/shared/protocol/dtype.ts';
import { encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import type {
  CoordinatorMessage,
  NodeToCoordinator,
  Subtree,
  WireDtype,
} from '@lockstep/shared/protocol/messages.ts';
import { cutParts } from '@lockstep/shared/protocol/ranges.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { RankHost } from '../rank/rank-host.ts';
import type { Side } from '../rank/store.ts';
import type { ShardReport } from '../rank/tasks.ts';
import type { Outbox } from './outbox.ts';

export interface DeskSetup {
  readonly recipe: Recipe;
  readonly trainCount: number;
  readonly host: RankHost;
  readonly wireDtype: WireDtype;
  readonly limits: Limits;
}

interface ShardJob {
  readonly kind: 'shard';
  readonly step: number;
  readonly shard: number;
}

interface EvaluationJob {
  readonly kind: 'evaluation';
  readonly step: number;
  readonly message: CoordinatorMessage<'evaluate'>;
}

interface OpenAssignment {
  readonly step: number;
  /** Subtrees that have not been sent. */
  readonly subtrees: Map<number, Subtree>;
}

/** How often a rank may be lost with one shard before the node says that it cannot do it. */
const attemptLimit = 3;

export class ShardDesk {
  private readonly setup: DeskSetup;
  private readonly outbox: Outbox;
  /** Told when the last message about an assignment has been sent. */
  private readonly onFinished: (assignment: number) => void;
  private readonly assignments = new Map<number, OpenAssignment>();
  private jobs: (ShardJob | EvaluationJob)[] = [];
  /** Shards that a rank is at, by shard: two ranks never write one slot. */
  private readonly running = new Set<number>();
  private busyRanks = 0;
  private weightsStep: number | null = null;
  /** Shards of `reportsStep` whose gradients lie in their slots. */
  private readonly reports = new Map<number, ShardReport>();
  private reportsStep = -1;
  private plan: StepPlan | null = null;
  private closed = false;
  computeSeconds = 0;
  shardsDone = 0;
  samplesDone = 0;

  constructor(setup: DeskSetup, outbox: Outbox, onFinished: (assignment: number) => void) {
    this.setup = setup;
    this.outbox = outbox;
    this.onFinished = onFinished;
  }

  get computing(): number {
    return this.busyRanks;
  }

  get queued(): number {
    return this.jobs.length;
  }

  /** A part of a step's weights. */
  takeWeights({ step, from, to, dtype }: CoordinatorMessage<'weights'>, payload: Uint8Array): void {
    if (this.weightsStep !== step) this.weightsStep = null;
    decodeFloats(payload, dtype, this.weights(step).subarray(from, to));
  }

  /** All parts of a step's weights are here. */
  weightsComplete(step: number): void {
    this.weightsStep = step;
    this.pump();
  }

  /** The weights are not those of the run; all of them will come again. */
  forgetWeights(): void {
    this.weightsStep = null;
    this.reports.clear();
  }

  /** float32 `[totalCount]` as this node computes with them. */
  weights(step: number): Float32Array {
    return this.setup.host.store.weights(sideOf(step));
  }

  assign({ assignment, step, subtrees }: CoordinatorMessage<'assign'>): void {
    if (step !== this.reportsStep) {
      this.reportsStep = step;
      this.reports.clear();
    }
    this.assignments.set(assignment, { step, subtrees: new Map(subtrees.entries()) });
    for (const { from, width } of subtrees) {
      for (let shard = from; shard < from + width; shard++) {
        const known = this.jobs.some(
          (job) => job.kind === 'shard' && job.step === step && job.shard === shard,
        );
        if (!known && !this.reports.has(shard)) this.jobs.push({ kind: 'shard', step, shard });
      }
    }
    this.sendComplete();
    this.pump();
  }

  evaluate(message: CoordinatorMessage<'evaluate'>): void {
    this.jobs.push({ kind: 'evaluation', step: message.step, message });
    this.pump();
  }

  /** Takes work back: what no other assignment needs is not begun; what is half sent is not finished. */
  revoke(assignment: number): void {
    this.assignments.delete(assignment);
    this.outbox.takeBack(keyOf(assignment));
    this.jobs = this.jobs.filter((job) =>
      job.kind === 'evaluation' ? job.message.assignment !== assignment : this.isWanted(job),
    );
    this.pump();
  }

  /** The connection is gone: nothing of it is worth finishing. */
  close(): void {
    this.closed = true;
    this.assignments.clear();
    this.jobs = [];
  }

  private isWanted({ step, shard }: ShardJob): boolean {
    return [...this.assignments.values()].some(
      (open) =>
        open.step === step &&
        [...open.subtrees.values()].some(({ from, width }) => shard >= from && shard < from + width),
    );
  }

  private pump(): void {
    const { ranks } = { ranks: this.setup.host.pool.size };
    while (this.busyRanks < ranks) {
      const at = this.jobs.findIndex(
        (job) => job.step === this.weightsStep && (job.kind === 'evaluation' || !this.running.has(job.shard)),
      );
      if (at < 0) return;
      const [job] = this.jobs.splice(at, 1) as [ShardJob | EvaluationJob];
      this.busyRanks += 1;
      const done = job.kind === 'shard' ? this.runShard(job) : this.runEvaluation(job);
      void done.finally(() => {
        this.busyRanks -= 1;
        this.pump();
      });
    }
  }

  private async runShard(job: ShardJob): Promise<void> {
    const { step, shard } = job;
    const plan = this.planOf(step);
    const samples = plan.shards[shard] ?? [];
    const begun = performance.now();
    this.running.add(shard);
    let trouble = '';
    try {
      for (let attempt = 0; attempt < attemptLimit; attempt++) {
        const outcome = await this.setup.host.pool.run({
          ...({ kind: 'shard', step, side: sideOf(step), epoch: plan.epoch, shard, samples } as const),
        });
        if (outcome.ok) {
          this.computeSeconds += (performance.now() - begun) / 1000;
          if (step !== this.reportsStep || this.closed) return;
          this.reports.set(shard, outcome.report);
          this.shardsDone += 1;
          this.samplesDone += samples.length;
          return;
        }
        trouble = outcome.reason;
      }
      this.fail(job, 'rank-lost', `shard ${shard}: ${trouble}`);
    } finally {
      this.running.delete(shard);
      this.sendComplete();
    }
  }

  private async runEvaluation({ message }: EvaluationJob): Promise<void> {
    const { assignment, step, split, from, count } = message;
    const outcome = await this.setup.host.pool.run({
      ...({ kind: 'evaluation', step, side: sideOf(step), split, from, count } as const),
    });
    if (this.closed) return;
    if (outcome.ok && Number.isFinite(outcome.report.lossSum)) {
      const { lossSum, correct, predictions } = outcome.report;
      this.say(
        { type: 'evaluation-done', assignment, step, count, lossSum, correct },
        Int32Array.from(predictions),
      );
    } else {
      const reason = outcome.ok ? 'the loss is not finite' : outcome.reason;
      this.say({ type: 'failed', assignment, cause: outcome.ok ? 'not-finite' : 'rank-lost', reason });
    }
    this.onFinished(assignment);
  }

  /** Sends every subtree whose shards are all computed. */
  private sendComplete(): void {
    for (const [assignment, open] of this.assignments) {
      if (open.step !== this.reportsStep) continue;
      for (const [index, subtree] of open.subtrees) {
        const reports = Array.from({ length: subtree.width }, (_, i) => this.reports.get(subtree.from + i));
        if (!reports.every((report) => report !== undefined)) continue;
        open.subtrees.delete(index);
        this.sendSubtree(assignment, open, index, subtree, reports);
      }
    }
  }

  private sendSubtree(
    assignment: number,
    open: OpenAssignment,
    index: number,
    subtree: Subtree,
    reports: readonly ShardReport[],
  ): void {
    const { step } = open;
    if (!reports.every(({ lossSum }) => Number.isFinite(lossSum))) {
      return this.failAssignment(
        assignment,
        'not-finite',
        `the loss of shards from ${subtree.from} on is not finite`,
      );
    }
    const { wireDtype, limits, host } = this.setup;
    const key = keyOf(assignment);
    const sum = host.store.slot(subtree.from);
    for (const { from, to } of cutParts(0, sum.length, wireDtype, limits)) {
      this.outbox.push({
        key,
        frame: () => {
          const { bytes, notFinite } = encodeFloats(sum.subarray(from, to), wireDtype);
          if (notFinite > 0) {
            this.failAssignment(
              assignment,
              'not-finite',
              `${notFinite} gradients of shards from ${subtree.from} on`,
            );
            return null;
          }
          const header = {
            type: 'gradient-part',
            assignment,
            step,
            subtree: index,
            from,
            to,
            dtype: wireDtype,
          };
          return encodeFrame(header, bytes);
        },
      });
    }
    this.outbox.push({
      key,
      frame: () => {
        const shards = reports.map(({ shard, samples, lossSum, correct, loadSeconds, computeSeconds }) => ({
          ...{ shard, samples, lossSum, correct, loadSeconds, computeSeconds },
        }));
        const header = { type: 'subtree-done', assignment, step, subtree: index, shards };
        const frame = encodeFrame(header, host.store.moments(subtree.from));
        if (open.subtrees.size === 0 && this.assignments.get(assignment) === open) {
          this.assignments.delete(assignment);
          this.onFinished(assignment);
        }
        return frame;
      },
    });
  }

  /** Gives up every assignment that wants a shard. */
  private fail({ step, shard }: ShardJob, cause: 'rank-lost', reason: string): void {
    for (const [assignment, open] of this.assignments) {
      const wants = [...open.subtrees.values()].some(
        ({ from, width }) => shard >= from && shard < from + width,
      );
      if (open.step === step && wants) this.failAssignment(assignment, cause, reason);
    }
  }

  private failAssignment(assignment: number, cause: 'rank-lost' | 'not-finite', reason: string): void {
    if (!this.assignments.delete(assignment)) return;
    this.outbox.takeBack(keyOf(assignment));
    this.say({ type: 'failed', assignment, cause, reason });
    this.onFinished(assignment);
  }

  private say(message: NodeToCoordinator, ...payload: ArrayBufferView[]): void {
    if (this.closed) return;
    const frame = encodeFrame(message, ...payload);
    this.outbox.push({ key: 'message', frame: () => frame });
  }

  private planOf(step: number): StepPlan {
    if (this.plan?.step !== step) this.plan = planStep(this.setup.recipe, this.setup.trainCount, step);
    return this.plan;
  }
}

function keyOf(assignment: number): string {
  return `assignment ${assignment}`;
}

/** Weights of two neighbouring steps never lie in the same place. */
function sideOf(step: number): Side {
  return step % 2 === 0 ? 0 : 1;
}
