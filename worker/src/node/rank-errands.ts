/** Single tasks of a desk for its ranks: a shard, tried again when a rank is lost; parts left to sum; an evaluation. */
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import type { CoordinatorMessage } from '@lockstep/shared/protocol/messages.ts';
import { shardsOf } from '@lockstep/shared/protocol/subtree.ts';
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

  /** Computes a shard for a subtree. */
  async shard({ shard, open }: ShardJob): Promise<void> {
    const { board } = this;
    const { step, subtree, outbox } = open;
    const { pool, store } = board.setup.host;
    if (outbox === null) return;
    const plan = board.planOf(step);
    const samples = plan.shards[shard] ?? [];
    const task = { kind: 'shard', step, side: sideOf(step), epoch: plan.epoch, shard, samples } as const;
    const outlet = { ...subtree, outbox };
    // The desk marks it when the weights turn out to be wrong while a rank computes with them.
    const isUseless = (): boolean => board.closed || step !== board.step || board.running.get(shard) !== step;
    let trouble = '';
    board.running.set(shard, step);
    board.outlets.hold(outbox);
    try {
      for (let attempt = 0; attempt < attemptLimit; attempt++) {
        const outcome = await pool.run({ ...task, subtree: outlet, awaitWeights: true });
        if (outcome.ok) {
          const { report } = outcome;
          board.account(report);
          if (!isUseless() && report.revoked !== true) board.record(report);
          return;
        }
        trouble = outcome.reason;
        // It may have been the lost rank that was summing.
        if (open.outbox === outbox) store.control.reopenTaken(outbox);
        // Trying again would forget that the shard was taken back.
        if (isUseless()) return;
        store.control.begin(shard);
      }
      this.events.fail(open.assignment, 'rank-lost', `shard ${shard}: ${trouble}`);
    } finally {
      board.running.delete(shard);
      board.outlets.release(outbox);
      for (const other of board.open.slice()) {
        const concerned = other.step === board.step && shardsOf(other.subtree).includes(shard);
        if (other.outbox === null || !concerned) continue;
        this.sumLeftOver(other);
        this.sender.sendDone(other);
      }
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
