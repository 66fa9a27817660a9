/** Single tasks of a desk for its ranks: shards, tried again when a rank is lost; parts left to sum; an evaluation. */
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import type { CoordinatorMessage } from '@lockstep/shared/protocol/messages.ts';
import { shardsOf } from '@lockstep/shared/protocol/subtree.ts';
import type { ShardReport, ShardTask } from '../rank/tasks.ts';
import { type DeskBoard, type OpenSubtree } from './desk-board.ts';
import type { SubtreeSender } from './subtree-sender.ts';
import { sideOf } from './weights-shelf.ts';

export interface ShardJob {
  readonly shard: number;
  readonly open: OpenSubtree;
}

export interface ErrandEvents {
  /** The ranks cannot do it. */
  readonly fail: (assignment: number, cause: 'rank-lost', reason: string) => void;
  /** The last message about an assignment is on its way. */
  readonly onFinished: (assignment: number) => void;
  /** An outbox of the store may be free again. */
  readonly onFree: () => void;
}

/** How often a rank may be lost with one shard before the node says that it cannot do it. */
const attemptLimit = 3;

export class RankErrands {
  private readonly board: DeskBoard;
  private readonly sender: SubtreeSender;
  private readonly events: ErrandEvents;

  constructor(board: DeskBoard, sender: SubtreeSender, events: ErrandEvents) {
    this.board = board;
    this.sender = sender;
    this.events = events;
  }

  /** Computes shards for their subtrees, all on one rank, one after the other. */
  async shards(jobs: readonly ShardJob[]): Promise<void> {
    const { board } = this;
    const { pool, store } = board.setup.host;
    const given = jobs.flatMap((job) =>
      job.open.outbox === null ? [] : { ...job, outbox: job.open.outbox },
    );
    for (const { shard, open, outbox } of given) {
      board.running.set(shard, open.step);
      board.outlets.hold(outbox);
    }
    let left = given;
    let trouble = '';
    try {
      for (let attempt = 0; attempt < attemptLimit && left.length > 0; ) {
        const outcome = await pool.run({ kind: 'shards', tasks: left.map((job) => this.taskOf(job)) });
        if (outcome.ok) {
          for (const report of outcome.report.shards) this.take(report);
        } else {
          attempt += 1;
          trouble = outcome.reason;
          for (const { shard, open, outbox } of left) {
            const done = board.reportOf(shard);
            if (done !== null) this.take(done);
            // It may have been the lost rank that was summing.
            if (open.outbox === outbox) store.control.reopenTaken(outbox);
          }
        }
        // Of those that are left weights did not come in time, or a rank was lost.
        left = left.filter((job) => this.isWanted(job));
        for (const { shard } of left) store.control.begin(shard);
      }
      for (const { shard, open } of left)
        this.events.fail(open.assignment, 'rank-lost', `shard ${shard}: ${trouble}`);
    } finally {
      for (const { shard, outbox } of given) {
        board.running.delete(shard);
        board.outlets.release(outbox);
      }
      this.serveOthers(given.map(({ shard }) => shard));
    }
  }

  private taskOf({ shard, open, outbox }: ShardJob & { readonly outbox: number }): ShardTask {
    const { step, subtree } = open;
    const plan = this.board.planOf(step);
    const samples = plan.shards[shard] ?? [];
    const task = { kind: 'shard', step, side: sideOf(step), epoch: plan.epoch, shard, samples } as const;
    return { ...task, subtree: { ...subtree, outbox }, awaitWeights: true };
  }

  private take(report: ShardReport): void {
    const { board } = this;
    const { shard } = report;
    board.account(report);
    // The desk marks it when the weights turn out to be wrong while a rank computes with them.
    const isUseless = board.closed || board.running.get(shard) !== board.step;
    if (!isUseless && report.revoked !== true) board.record(report);
  }

  /** Whether a shard that a rank has come back without is still to be computed. */
  private isWanted({ shard, open }: ShardJob): boolean {
    const { board } = this;
    if (board.closed || open.step !== board.step || board.running.get(shard) !== open.step) return false;
    // Trying again would forget that the shard was taken back.
    return !board.reports.has(shard) && !board.setup.host.store.control.isRevoked(shard);
  }

  /** What other subtrees may have waited for. */
  private serveOthers(shards: readonly number[]): void {
    const { board } = this;
    for (const other of board.open.slice()) {
      const isConcerned = shardsOf(other.subtree).some((shard) => shards.includes(shard));
      if (other.outbox === null || other.step !== board.step || !isConcerned) continue;
      this.sumLeftOver(other);
      this.sender.sendDone(other);
    }
  }

  /** Has those parts summed that no rank has summed because the shards were computed for another subtree. */
  sumLeftOver(open: OpenSubtree): void {
    const { board } = this;
    const { subtree, outbox } = open;
    const { store, pool, layout } = board.setup.host;
    if (outbox === null || !shardsOf(subtree).every((shard) => board.reports.has(shard))) return;
    for (const [part, slice] of gradientParts(layout).entries()) {
      if (store.control.finished(outbox, part) !== null || !store.control.takePart(outbox, part)) continue;
      board.outlets.hold(outbox);
      void pool.run({ kind: 'subtree', ...subtree, outbox, slice }).then((outcome) => {
        board.outlets.release(outbox);
        if (open.outbox !== outbox) return this.events.onFree();
        if (outcome.ok) store.control.finishPart(outbox, part, outcome.report.notFinite);
        else this.events.fail(open.assignment, 'rank-lost', outcome.reason);
      });
    }
  }

  async evaluation(message: CoordinatorMessage<'evaluate'>): Promise<void> {
    const { board } = this;
    const { assignment, step, split, from, count } = message;
    const begun = performance.now();
    board.evaluating.add(assignment);
    const outcome = await board.setup.host.pool.run({
      ...({ kind: 'evaluation', step, side: sideOf(step), split, from, count } as const),
    });
    board.computeSeconds += (performance.now() - begun) / 1000;
    // A revoked one was answered by `released`: nothing may come after that.
    if (!board.evaluating.delete(assignment) || board.closed) return;
    if (outcome.ok && Number.isFinite(outcome.report.lossSum)) {
      const { lossSum, correct, predictions } = outcome.report;
      board.say(
        { type: 'evaluation-done', assignment, step, count, lossSum, correct },
        Int32Array.from(predictions),
      );
    } else {
      const reason = outcome.ok ? 'the loss is not finite' : outcome.reason;
      board.say({ type: 'failed', assignment, cause: outcome.ok ? 'not-finite' : 'rank-lost', reason });
    }
    this.events.onFinished(assignment);
  }
}
