/** How a subtree's results leave the node: its sum part by part, its points in mode `sync`, and that it is done. */
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import { bytesPerFloat } from '@lockstep/shared/protocol/dtype.ts';
import { encodeFrame, encodeFrameIn } from '@lockstep/shared/protocol/frame.ts';
import { FramePool } from '@lockstep/shared/protocol/frame-pool.ts';
import { cutParts } from '@lockstep/shared/protocol/ranges.ts';
import { shardsOf } from '@lockstep/shared/protocol/subtree.ts';
import type { FinishedPart } from '../rank/part-watch.ts';
import { type DeskBoard, keyOf, type OpenSubtree } from './desk-board.ts';
import { subtreeMoments } from './subtree-moments.ts';

export interface SenderEvents {
  /** What should be sent is not worth sending. */
  readonly fail: (assignment: number, cause: 'not-finite', reason: string) => void;
  /** The last message about an assignment has been made. */
  readonly onFinished: (assignment: number) => void;
  /** An outbox of the store is free again. */
  readonly onFree: () => void;
}

export class SubtreeSender {
  private readonly board: DeskBoard;
  private readonly events: SenderEvents;
  private readonly partCount: number;
  private readonly pool: FramePool;

  constructor(board: DeskBoard, events: SenderEvents) {
    this.board = board;
    this.events = events;
    const { host, wireDtype } = board.setup;
    this.pool = new FramePool(bytesPerFloat[wireDtype] * host.layout.parameterCount);
    this.partCount = gradientParts(board.setup.host.layout).length;
  }

  /** What a subtree adds to a point goes out. */
  sendPoint(open: OpenSubtree, point: number, values: Float64Array): void {
    const { assignment, index, step } = open;
    if (open.outbox === null || this.board.closed) return;
    if (!values.every((value) => Number.isFinite(value))) {
      return this.events.fail(assignment, 'not-finite', `batch-norm point ${point}`);
    }
    this.board.outbox.urgent(
      encodeFrame({ type: 'sync-part', assignment, step, subtree: index, point }, values),
    );
  }

  /** A part of a sum is in its outbox. */
  takePart(open: OpenSubtree, { from, to, notFinite }: FinishedPart): void {
    const { assignment, index, step, subtree, outbox } = open;
    if (outbox === null || this.board.closed) return;
    if (notFinite > 0) {
      const what = `${notFinite} gradients of shards ${subtree.from}..${subtree.from + subtree.width - 1}`;
      return this.events.fail(assignment, 'not-finite', what);
    }
    const { wireDtype: dtype, limits, host } = this.board.setup;
    for (const cut of cutParts(from, to, dtype, limits)) {
      const header = { type: 'gradient-part', assignment, step, subtree: index, ...cut, dtype };
      let made: Uint8Array<ArrayBuffer> | null = null;
      this.board.outbox.push({
        key: keyOf(assignment),
        frame: () => {
          const floats = host.store.outbox(outbox, cut.from, cut.to, bytesPerFloat[dtype]);
          made = encodeFrameIn((size) => this.pool.take(size), header, floats);
          return made;
        },
        done: () => {
          if (made !== null) this.pool.give(made);
        },
      });
    }
    open.parts += 1;
    this.sendDone(open);
  }

  /** All parts are on their way and all shards reported: says so. */
  sendDone(open: OpenSubtree): void {
    const { assignment, index, step, subtree } = open;
    if (open.parts < this.partCount || open.sent || open.outbox === null) return;
    const reports = shardsOf(subtree).map((shard) => this.board.reportOf(shard));
    if (!reports.every((report) => report !== null)) return;
    if (!reports.every(({ lossSum }) => Number.isFinite(lossSum))) {
      return this.events.fail(assignment, 'not-finite', `the loss of shards from ${subtree.from} on`);
    }
    open.sent = true;
    for (const report of reports) this.board.record(report);
    const { recipe, host } = this.board.setup;
    const plan = this.board.planOf(step);
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
    this.board.outbox.push({
      key: keyOf(assignment),
      frame: () => {
        // Everything in front of it has been copied out of the outbox.
        const { board, events } = this;
        board.letGo(open);
        board.open = board.open.filter((other) => other !== open);
        if (!board.open.some((other) => other.assignment === assignment)) events.onFinished(assignment);
        queueMicrotask(() => events.onFree());
        return encodeFrame({ type: 'subtree-done', assignment, step, subtree: index, shards }, moments);
      },
    });
  }
}
