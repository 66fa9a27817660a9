/**
 * A node's work: assignments come in, shards go to the ranks, sums of subtrees go out part by part while the backward
 * pass goes on. A shard that was computed stays in its slot as long as its step lasts, so work that is taken back and
 * given again in other pieces costs nothing twice.
 */
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import { planStep, type StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import { bytesPerFloat, decodeFloats } from '@lockstep/shared/protocol/dtype.ts';
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
import { type FinishedPart, watchParts } from '../rank/part-watch.ts';
import type { RankHost } from '../rank/rank-host.ts';
import type { Side } from '../rank/store.ts';
import { SyncCrew } from '../rank/sync-crew.ts';
import type { ShardReport } from '../rank/tasks.ts';
import type { Outbox } from './outbox.ts';
import { OutletPool } from './outlet-pool.ts';
import { subtreeMoments } from './subtree-moments.ts';

export interface DeskSetup {
  readonly recipe: Recipe;
  readonly trainCount: number;
  readonly host: RankHost;
  readonly wireDtype: WireDtype;
  readonly limits: Limits;
}

/** A subtree of an assignment that is not complete. */
interface OpenSubtree {
  readonly assignment: number;
  readonly index: number;
  readonly step: number;
  readonly subtree: Subtree;
  /** Where its sum is made; null until it is begun. */
  outbox: number | null;
  stopWatching: () => void;
  /** Parts that are on their way. */
  parts: number;
  sent: boolean;
}

interface ShardJob {
  readonly shard: number;
  readonly open: OpenSubtree;
}

/** How often a rank may be lost with one shard before the node says that it cannot do it. */
const attemptLimit = 3;

/**
 * Outboxes that a node needs for so many ranks: what is computed, and what is being sent. In batch-norm mode `sync` all
 * of its subtrees advance together.
 */
export function outboxCount(
  ranks: number,
  { shardsPerStep, batchNorm }: Pick<Recipe, 'shardsPerStep' | 'batchNorm'>,
): number {
  return batchNorm === 'sync' ? shardsPerStep : Math.min(shardsPerStep, 2 * ranks + 2);
}

export class ShardDesk {
  private readonly setup: DeskSetup;
  private readonly outbox: Outbox;
  /** Told when the last message about an assignment has been sent. */
  private readonly onFinished: (assignment: number) => void;
  private readonly outlets: OutletPool;
  private readonly partCount: number;
  private open: OpenSubtree[] = [];
  private jobs: ShardJob[] = [];
  private evaluations: CoordinatorMessage<'evaluate'>[] = [];
  /** Step of the task that a rank is at, by shard: two ranks never write one slot. */
  private readonly running = new Map<number, number>();
  private busyRanks = 0;
  private step = -1;
  private arriving: number | null = null;
  private weightsStep: number | null = null;
  /** Shards of the step whose gradients lie in their slots. */
  private readonly reports = new Map<number, ShardReport>();
  private plan: StepPlan | null = null;
  private closed = false;
  /** In batch-norm mode `sync`, else null. */
  private readonly crew: SyncCrew | null;
  /** The crew leaves the step before. */
  private turning = false;
  private early: CoordinatorMessage<'sync-total'>[] = [];
  private earlyValues: Float64Array[] = [];
  computeSeconds = 0;
  shardsDone = 0;
  samplesDone = 0;

  constructor(setup: DeskSetup, outbox: Outbox, onFinished: (assignment: number) => void) {
    this.setup = setup;
    this.outbox = outbox;
    this.onFinished = onFinished;
    this.outlets = new OutletPool(setup.host.store.layout.outboxes ?? 0);
    this.partCount = gradientParts(setup.host.layout).length;
    this.crew =
      setup.recipe.batchNorm === 'sync'
        ? new SyncCrew(setup.host, true, {
            onReport: (report) => this.takeReport(report),
            onFailure: (shards, reason) => this.failShards(shards, reason),
          })
        : null;
  }

  get computing(): number {
    return this.busyRanks;
  }

  get queued(): number {
    return this.jobs.length + this.evaluations.length;
  }

  /** A part of a step's weights. */
  takeWeights({ step, from, to, dtype }: CoordinatorMessage<'weights'>, payload: Uint8Array): void {
    if (this.arriving !== step) {
      this.arriving = step;
      this.weightsStep = null;
      this.setup.host.store.control.withdrawWeights(sideOf(step));
    }
    decodeFloats(payload, dtype, this.weights(step).subarray(from, to));
  }

  /** All parts of a step's weights are here. */
  weightsComplete(step: number): void {
    this.weightsStep = step;
    this.setup.host.store.control.publishWeights(sideOf(step), step);
    this.pump();
  }

  /** The weights are not those of the run; all of them will come again. */
  forgetWeights(): void {
    this.arriving = null;
    this.weightsStep = null;
    this.reports.clear();
  }

  /** float32 `[totalCount]` as this node computes with them. */
  weights(step: number): Float32Array {
    return this.setup.host.store.weights(sideOf(step));
  }

  assign({ assignment, step, subtrees }: CoordinatorMessage<'assign'>): void {
    this.enter(step);
    for (const [index, subtree] of subtrees.entries()) {
      const stopWatching = (): void => {};
      const state = { outbox: null, stopWatching, parts: 0, sent: false };
      this.open.push({ assignment, index, step, subtree, ...state });
    }
    this.pump();
  }

  /** The whole batch at a point, in batch-norm mode `sync`. */
  takeTotal(message: CoordinatorMessage<'sync-total'>, payload: Uint8Array): void {
    const values = new Float64Array(payload.buffer, payload.byteOffset, payload.byteLength / 8);
    if (this.turning || message.step > this.step) {
      this.early.push(message);
      this.earlyValues.push(values);
    } else if (message.step === this.step) {
      this.crew?.total(message.point, values);
    }
  }

  evaluate(message: CoordinatorMessage<'evaluate'>): void {
    this.evaluations.push(message);
    this.pump();
  }

  /** Takes work back: what is not begun is not begun; what is half sent is not finished. */
  revoke(assignment: number): void {
    this.discard(assignment);
    this.evaluations = this.evaluations.filter((message) => message.assignment !== assignment);
    this.pump();
  }

  /** The connection is gone: nothing of it is worth finishing. */
  close(): void {
    this.closed = true;
    for (const { assignment } of this.open.slice()) this.discard(assignment);
    this.evaluations = [];
    for (const shard of this.running.keys()) this.setup.host.store.control.revoke(shard);
  }

  /** Resolves when no rank works for this desk any more: the ranks may then have another one. */
  async idle(): Promise<void> {
    await this.crew?.end();
    while (this.busyRanks > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** Work of a new step: what ranks still do for an older one is of no use. */
  private enter(step: number): void {
    if (step === this.step) return;
    this.step = step;
    this.reports.clear();
    for (const [shard, old] of this.running) if (old !== step) this.setup.host.store.control.revoke(shard);
    if (this.crew === null) return;
    this.turning = true;
    void this.crew.end().then(() => this.turn());
  }

  /** The crew is free for the newest step. */
  private turn(): void {
    this.turning = false;
    this.crew?.begin(this.planOf(this.step), sideOf(this.step));
    for (const [i, { step, point }] of this.early.entries()) {
      if (step === this.step) this.crew?.total(point, this.earlyValues[i] as Float64Array);
    }
    this.early = [];
    this.earlyValues = [];
    this.pump();
  }

  private takeReport(report: ShardReport): void {
    this.computeSeconds += report.loadSeconds + report.computeSeconds;
    this.reports.set(report.shard, report);
    this.shardsDone += 1;
    this.samplesDone += report.samples;
    for (const open of this.open.slice()) if (open.outbox !== null) this.sendDone(open);
  }

  private failShards(shards: readonly number[], reason: string): void {
    const hit = this.open.filter(({ subtree }) => shardsOf(subtree).some((shard) => shards.includes(shard)));
    for (const { assignment } of hit) this.failAssignment(assignment, 'rank-lost', reason);
  }

  /** What a subtree adds to a point goes out. */
  private sendPoint(open: OpenSubtree, point: number, values: Float64Array): void {
    const { assignment, index, step } = open;
    if (open.outbox === null || this.closed) return;
    if (!values.every((value) => Number.isFinite(value))) {
      return this.failAssignment(assignment, 'not-finite', `batch-norm point ${point}`);
    }
    this.outbox.urgent(encodeFrame({ type: 'sync-part', assignment, step, subtree: index, point }, values));
  }

  private discard(assignment: number): void {
    const gone = this.open.filter((open) => open.assignment === assignment);
    this.open = this.open.filter((open) => open.assignment !== assignment);
    this.jobs = this.jobs.filter(({ open }) => open.assignment !== assignment);
    this.outbox.takeBack(keyOf(assignment));
    for (const open of gone) this.letGo(open);
    if (this.crew !== null && gone.length > 0)
      this.crew.remove(gone.flatMap(({ subtree }) => shardsOf(subtree)));
  }

  private letGo(open: OpenSubtree): void {
    open.stopWatching();
    if (open.outbox !== null) this.outlets.release(open.outbox);
    open.outbox = null;
  }

  private pump(): void {
    if (this.closed) return;
    if (this.turning) return;
    for (const open of this.open) if (open.outbox === null && !this.begin(open)) break;
    const { size } = this.setup.host.pool;
    while (this.busyRanks < size) {
      const job = this.jobs.shift();
      const evaluation = job === undefined ? this.nextEvaluation() : undefined;
      if (job === undefined && evaluation === undefined) return;
      this.busyRanks += 1;
      const done =
        job === undefined
          ? this.runEvaluation(evaluation as CoordinatorMessage<'evaluate'>)
          : this.runShard(job);
      void done.finally(() => {
        this.busyRanks -= 1;
        this.pump();
      });
    }
  }

  private nextEvaluation(): CoordinatorMessage<'evaluate'> | undefined {
    const at = this.evaluations.findIndex(({ step }) => step === this.weightsStep);
    return at < 0 ? undefined : this.evaluations.splice(at, 1)[0];
  }

  /** Opens an outbox for a subtree and queues its shards. @returns false when it has to wait */
  private begin(open: OpenSubtree): boolean {
    const { step, subtree } = open;
    const shards = shardsOf(subtree);
    const { store, layout } = this.setup.host;
    // A rank that is still at the slot for an older step ends soon: it was told.
    if (shards.some((shard) => (this.running.get(shard) ?? step) !== step)) return false;
    const outbox = this.outlets.take();
    if (outbox === null) return false;
    open.outbox = outbox;
    const missing = shards.filter((shard) => !this.reports.has(shard) && !this.running.has(shard));
    // All of them before any task: a shard's words of an older step would pass for finished parts.
    for (const shard of missing) store.control.begin(shard);
    const stopParts = watchParts(store, layout, outbox, (part) => this.takePart(open, part));
    open.stopWatching = stopParts;
    if (this.crew !== null) {
      this.crew.add(missing.map((shard) => ({ shard, subtree: { ...subtree, outbox } })));
      const stopPoints = this.crew.exchange.watch([subtree], (_, point, { values }) => {
        this.sendPoint(open, point, values);
      });
      open.stopWatching = () => {
        stopParts();
        stopPoints();
      };
      return true;
    }
    for (const shard of missing) this.jobs.push({ shard, open });
    this.sumLeftOver(open);
    return true;
  }

  private async runShard({ shard, open }: ShardJob): Promise<void> {
    const { step, subtree, outbox } = open;
    const { pool, store } = this.setup.host;
    if (outbox === null) return;
    const plan = this.planOf(step);
    const samples = plan.shards[shard] ?? [];
    const task = { kind: 'shard', step, side: sideOf(step), epoch: plan.epoch, shard, samples } as const;
    const outlet = { ...subtree, outbox };
    let trouble = '';
    this.running.set(shard, step);
    this.outlets.hold(outbox);
    try {
      for (let attempt = 0; attempt < attemptLimit; attempt++) {
        const outcome = await pool.run({ ...task, subtree: outlet, awaitWeights: true });
        if (outcome.ok) {
          const { report } = outcome;
          this.computeSeconds += report.loadSeconds + report.computeSeconds;
          if (step !== this.step || this.closed || report.revoked === true) return;
          this.reports.set(shard, report);
          this.shardsDone += 1;
          this.samplesDone += samples.length;
          return;
        }
        trouble = outcome.reason;
        // It may have been the lost rank that was summing.
        if (open.outbox === outbox) store.control.reopenTaken(outbox);
        store.control.begin(shard);
      }
      this.failAssignment(open.assignment, 'rank-lost', `shard ${shard}: ${trouble}`);
    } finally {
      this.running.delete(shard);
      this.outlets.release(outbox);
      for (const other of this.open.slice()) {
        if (other.outbox === null || other.step !== this.step || !shardsOf(other.subtree).includes(shard))
          continue;
        this.sumLeftOver(other);
        this.sendDone(other);
      }
    }
  }

  /** Parts that no rank has summed because the shards were computed for another subtree. */
  private sumLeftOver(open: OpenSubtree): void {
    const { subtree, outbox } = open;
    const { store, pool, layout } = this.setup.host;
    if (outbox === null || !shardsOf(subtree).every((shard) => this.reports.has(shard))) return;
    for (const [part, slice] of gradientParts(layout).entries()) {
      if (store.control.finished(outbox, part) !== null || !store.control.takePart(outbox, part)) continue;
      this.outlets.hold(outbox);
      void pool.run({ kind: 'subtree', ...subtree, outbox, slice }).then((outcome) => {
        this.outlets.release(outbox);
        if (open.outbox !== outbox) return this.pump();
        if (outcome.ok) store.control.finishPart(outbox, part, outcome.report.notFinite);
        else this.failAssignment(open.assignment, 'rank-lost', outcome.reason);
      });
    }
  }

  /** A part of a sum is in its outbox. */
  private takePart(open: OpenSubtree, { from, to, notFinite }: FinishedPart): void {
    const { assignment, index, step, subtree, outbox } = open;
    if (outbox === null || this.closed) return;
    if (notFinite > 0) {
      const what = `${notFinite} gradients of shards ${subtree.from}..${subtree.from + subtree.width - 1}`;
      return this.failAssignment(assignment, 'not-finite', what);
    }
    const { wireDtype: dtype, limits, host } = this.setup;
    for (const cut of cutParts(from, to, dtype, limits)) {
      this.outbox.push({
        key: keyOf(assignment),
        frame: () =>
          encodeFrame(
            { type: 'gradient-part', assignment, step, subtree: index, ...cut, dtype },
            host.store.outbox(outbox, cut.from, cut.to, bytesPerFloat[dtype]),
          ),
      });
    }
    open.parts += 1;
    this.sendDone(open);
  }

  /** All parts are on their way and all shards reported: says so. */
  private sendDone(open: OpenSubtree): void {
    const { assignment, index, step, subtree } = open;
    if (open.parts < this.partCount || open.sent || open.outbox === null) return;
    const reports = shardsOf(subtree).map((shard) => this.reports.get(shard));
    if (!reports.every((report) => report !== undefined)) return;
    if (!reports.every(({ lossSum }) => Number.isFinite(lossSum))) {
      return this.failAssignment(assignment, 'not-finite', `the loss of shards from ${subtree.from} on`);
    }
    open.sent = true;
    const { recipe, host } = this.setup;
    const plan = this.planOf(step);
    const samplesOf = (shard: number): number => plan.shards[shard]?.length ?? 0;
    const moments =
      recipe.batchNorm === 'sync'
        ? new Float64Array(0)
        : subtreeMoments(host.store, host.layout, subtree, samplesOf);
    const shards = reports.map(({ shard, samples, lossSum, correct, loadSeconds, computeSeconds }) => ({
      shard,
      samples,
      lossSum,
      correct,
      loadSeconds,
      computeSeconds,
    }));
    this.outbox.push({
      key: keyOf(assignment),
      frame: () => {
        // Everything in front of it has been copied out of the outbox.
        this.letGo(open);
        this.open = this.open.filter((other) => other !== open);
        if (!this.open.some((other) => other.assignment === assignment)) this.onFinished(assignment);
        queueMicrotask(() => this.pump());
        return encodeFrame({ type: 'subtree-done', assignment, step, subtree: index, shards }, moments);
      },
    });
  }

  private async runEvaluation(message: CoordinatorMessage<'evaluate'>): Promise<void> {
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

  private failAssignment(assignment: number, cause: 'rank-lost' | 'not-finite', reason: string): void {
    if (!this.open.some((open) => open.assignment === assignment)) return;
    this.discard(assignment);
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

function shardsOf({ from, width }: Subtree): number[] {
  return Array.from({ length: width }, (_, i) => from + i);
}

/** Weights of two neighbouring steps never lie in the same place. */
function sideOf(step: number): Side {
  return step % 2 === 0 ? 0 : 1;
}
