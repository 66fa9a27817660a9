/**
 * A node's work: assignments come in, shards go to the ranks, sums of subtrees go out part by part while the backward
 * pass goes on. A shard that was computed stays in its slot as long as its step lasts, so work that is taken back and
 * given again in other pieces costs nothing twice.
 */
import type { CoordinatorMessage } from '@lockstep/shared/protocol/messages.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { shardsOf } from '@lockstep/shared/protocol/subtree.ts';
import { watchParts } from '../rank/part-watch.ts';
import { SyncCrew } from '../rank/sync-crew.ts';
import { DeskBoard, type DeskSetup, keyOf, type OpenSubtree } from './desk-board.ts';
import type { Outbox } from './outbox.ts';
import { ErrandQueue } from './errand-queue.ts';
import { decideTurn, HeldAssignments } from './held-assignments.ts';
import { RankErrands } from './rank-errands.ts';
import { SubtreeSender } from './subtree-sender.ts';
import { sideOf, WeightsShelf } from './weights-shelf.ts';

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
  private readonly board: DeskBoard;
  private readonly shelf: WeightsShelf;
  private readonly sender: SubtreeSender;
  private readonly errands: RankErrands;
  /** Told when the last message about an assignment has been sent. */
  private readonly onFinished: (assignment: number) => void;
  private readonly queue: ErrandQueue;
  /** Of the next step, or of the one before: until the desk turns to it. */
  private readonly held = new HeldAssignments();
  /** In batch-norm mode `sync`, else null. */
  private readonly crew: SyncCrew | null;
  private crewStep = -1;
  /** The crew leaves the step before, or the weights it began with. */
  private turning = false;
  private early: CoordinatorMessage<'sync-total'>[] = [];
  private earlyValues: Float64Array[] = [];

  constructor(setup: DeskSetup, outbox: Outbox, onFinished: (assignment: number) => void) {
    const events = {
      fail: (assignment: number, cause: 'rank-lost' | 'not-finite', reason: string) =>
        this.failAssignment(assignment, cause, reason),
      onFinished,
      onFree: () => this.pump(),
    };
    this.onFinished = onFinished;
    this.board = new DeskBoard(setup, outbox);
    this.shelf = new WeightsShelf(setup.host);
    this.sender = new SubtreeSender(this.board, events);
    this.errands = new RankErrands(this.board, this.sender, events);
    this.queue = new ErrandQueue(this.board, this.shelf, this.errands, () => this.pump());
    this.crew =
      setup.recipe.batchNorm === 'sync'
        ? new SyncCrew(setup.host, true, {
            onReport: (report) => {
              this.board.account(report);
              this.board.record(report);
              for (const open of this.board.open.slice())
                if (open.outbox !== null) this.sender.sendDone(open);
            },
            onFailure: (shards, reason) => this.failShards(shards, reason),
          })
        : null;
  }

  get computing(): number {
    return this.queue.computing;
  }

  get queued(): number {
    return this.queue.waiting;
  }

  get computeSeconds(): number {
    return this.board.computeSeconds;
  }

  get shardsDone(): number {
    return this.board.shardsDone;
  }

  get samplesDone(): number {
    return this.board.samplesDone;
  }

  /** A part of a step's weights. */
  takeWeights(message: CoordinatorMessage<'weights'>, payload: Uint8Array): void {
    this.shelf.take(message, payload);
  }

  /** Ranks can compute with a step's weights, of which running statistics may be missing. */
  weightsComputable(step: number): void {
    this.shelf.computable(step);
  }

  /** All parts of a step's weights are here. */
  weightsComplete(step: number): void {
    this.shelf.complete(step);
    this.pump();
  }

  /** The weights are not those of the run; all of them will come again, and what was made with them is of no use. */
  forgetWeights(): void {
    const { reports, running, setup } = this.board;
    this.shelf.forget();
    reports.clear();
    for (const shard of running.keys()) {
      running.set(shard, null);
      setup.host.store.control.revoke(shard);
    }
    this.emptyCrew();
  }

  /** float32 `[totalCount]` as this node computes with them. */
  weights(step: number): Float32Array {
    return this.shelf.weights(step);
  }

  assign(message: CoordinatorMessage<'assign'>): void {
    if (message.step === this.board.step) this.board.add(message);
    else this.held.hold(message);
    this.pump();
  }

  /** The whole batch at a point, in batch-norm mode `sync`. */
  takeTotal(message: CoordinatorMessage<'sync-total'>, payload: Uint8Array): void {
    const values = new Float64Array(payload.buffer, payload.byteOffset, payload.byteLength / 8);
    if (this.turning || message.step > this.board.step) {
      this.early.push(message);
      this.earlyValues.push(values);
    } else if (message.step === this.board.step) {
      this.crew?.total(message.point, values);
    }
  }

  evaluate(message: CoordinatorMessage<'evaluate'>): void {
    this.queue.addEvaluation(message);
    this.pump();
  }

  /** The coordinator asks how far it is. */
  tellProgress(assignment: number): void {
    this.board.tellProgress(assignment, this.held.has(assignment));
  }

  /** Takes work back: what is not begun is not begun; what is half sent is not finished. */
  revoke(assignment: number): void {
    this.held.drop(assignment);
    this.discard(assignment);
    this.board.evaluating.delete(assignment);
    this.pump();
  }

  /** The connection is gone: nothing of it is worth finishing. */
  close(): void {
    const { board } = this;
    board.closed = true;
    this.held.clear();
    for (const { assignment } of board.open.slice()) this.discard(assignment);
    this.queue.dropEvaluations();
    for (const shard of board.running.keys()) board.setup.host.store.control.revoke(shard);
  }

  /** Resolves when no rank works for this desk any more: the ranks may then have another one. */
  async idle(): Promise<void> {
    await this.crew?.end();
    while (!this.queue.isIdle) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** Goes to another step when there is reason to. */
  private turnTo(): void {
    const { held, board } = this;
    const { step } = held;
    const isComputable = this.shelf.isComputable(board.step);
    const turn = decideTurn({ step: board.step, isBusy: board.open.length > 0, isComputable, held: step });
    if (step === null || turn === 'stay') return;
    for (const message of board.assignments()) {
      this.discard(message.assignment);
      held.hold(message);
    }
    this.enter(step);
    for (const message of held.take(step)) board.add(message);
  }

  /** Work of a new step: what ranks still do for an older one is of no use. */
  private enter(step: number): void {
    const { board } = this;
    if (step === board.step) return;
    board.enter(step);
    for (const [shard, old] of board.running) if (old !== step) board.setup.host.store.control.revoke(shard);
    this.emptyCrew();
  }

  /** Has the crew put down everything; until it has, no work begins. */
  private emptyCrew(): void {
    if (this.crew === null) return;
    this.turning = true;
    void this.crew.end().then(() => this.turn());
  }

  /** The crew is free for the newest step, or for the same one with other weights. */
  private turn(): void {
    const { crew, board } = this;
    if (crew === null || !this.turning) return;
    this.turning = false;
    if (this.crewStep === board.step) {
      crew.restart();
    } else {
      this.crewStep = board.step;
      crew.begin(board.planOf(board.step), sideOf(board.step));
    }
    for (const [i, { step, point }] of this.early.entries()) {
      if (step === board.step) crew.total(point, this.earlyValues[i] as Float64Array);
    }
    this.early = [];
    this.earlyValues = [];
    this.pump();
  }

  private failShards(shards: readonly number[], reason: string): void {
    const hit = this.board.open.filter(({ subtree }) =>
      shardsOf(subtree).some((shard) => shards.includes(shard)),
    );
    for (const { assignment } of hit) this.failAssignment(assignment, 'rank-lost', reason);
  }

  private discard(assignment: number): void {
    const { board } = this;
    const gone = board.open.filter((open) => open.assignment === assignment);
    board.open = board.open.filter((open) => open.assignment !== assignment);
    this.queue.drop(assignment);
    board.outbox.takeBack(keyOf(assignment));
    for (const open of gone) board.letGo(open);
    if (this.crew !== null && gone.length > 0)
      this.crew.remove(gone.flatMap(({ subtree }) => shardsOf(subtree)));
  }

  private pump(): void {
    const { board } = this;
    if (board.closed || this.turning || this.shelf.isDistrusted) return;
    this.turnTo();
    if (this.turning) return;
    for (const open of board.open) if (open.outbox === null && !this.begin(open)) break;
    this.queue.pump();
  }

  /** Opens an outbox for a subtree and queues its shards. @returns false when it has to wait */
  private begin(open: OpenSubtree): boolean {
    const { step, subtree } = open;
    const { board } = this;
    const { reports, running, outlets, setup } = board;
    const shards = shardsOf(subtree);
    const { store, layout } = setup.host;
    // A rank that is still at the slot for an older step, or with wrong weights, ends soon: it was told.
    if (shards.some((shard) => running.has(shard) && running.get(shard) !== step)) return false;
    const outbox = outlets.take();
    if (outbox === null) return false;
    open.outbox = outbox;
    const missing = shards.filter((shard) => !reports.has(shard) && !running.has(shard));
    // All of them before any task: a shard's words of an older step would pass for finished parts.
    for (const shard of missing) store.control.begin(shard);
    const stopParts = watchParts(store, layout, outbox, (part) => this.sender.takePart(open, part));
    open.stopWatching = stopParts;
    if (this.crew !== null) {
      this.crew.add(missing.map((shard) => ({ shard, subtree: { ...subtree, outbox } })));
      const stopPoints = this.crew.exchange.watch([subtree], (_, point, { values }) => {
        this.sender.sendPoint(open, point, values);
      });
      open.stopWatching = () => {
        stopParts();
        stopPoints();
      };
      return true;
    }
    this.queue.addShards(missing.map((shard) => ({ shard, open })));
    this.errands.sumLeftOver(open);
    return true;
  }

  private failAssignment(assignment: number, cause: 'rank-lost' | 'not-finite', reason: string): void {
    if (!this.board.open.some((open) => open.assignment === assignment)) return;
    this.discard(assignment);
    this.board.say({ type: 'failed', assignment, cause, reason });
    this.onFinished(assignment);
  }
}
