/**
 * Blocks of the gradient that have come from all shards while others are still on their way: they are summed and
 * updated at once, and their new weights can travel. Whoever computed a shard, its bits are the same; so a block stays
 * right when a node that sent some of it is lost afterwards, and its shards come from elsewhere.
 */
import type { GradientRange } from '@lockstep/shared/model/gradient-parts.ts';
import { shardCount } from '@lockstep/shared/protocol/subtree.ts';
import type { Cover, SliceReport, SliceTask } from '@lockstep/worker/rank/tasks.ts';
import { type Slice, uncovered } from '../plan/assignment.ts';
import type { UpdateOf } from './workforce.ts';

/** What of a block has come: sums that do not overlap. */
interface Block extends GradientRange {
  covers: Cover[];
  shards: number;
  begun: boolean;
}

/** What has been updated, and what is left to be. */
export interface Updates {
  readonly reports: readonly SliceReport[];
  readonly left: readonly SliceTask[];
}

export interface EarlyUpdateSetup {
  readonly shards: number;
  /** The pieces in which gradients travel, in any order. */
  readonly blocks: readonly GradientRange[];
  /** Null: nothing is updated early. */
  readonly updateOf: UpdateOf | null;
  readonly run: (task: SliceTask) => Promise<SliceReport>;
  /** The new weights of a block lie on the other side of the store. */
  readonly onUpdated: (range: GradientRange) => void;
}

export class EarlyUpdates {
  private readonly setup: EarlyUpdateSetup;
  /** By first float. */
  private readonly blocks: ReadonlyMap<number, Block>;
  private readonly running: Promise<SliceReport>[] = [];
  private readonly done: Slice[] = [];
  private closed = false;

  constructor(setup: EarlyUpdateSetup) {
    this.setup = setup;
    this.blocks = new Map(
      setup.blocks.map(({ from, to }) => [from, { from, to, covers: [], shards: 0, begun: false }]),
    );
  }

  /** A piece of a sum lies in its slot; pieces that are no whole block wait for the end of the step. */
  arrived({ from, to }: GradientRange, sum: Cover): void {
    const block = this.blocks.get(from);
    if (this.closed || block === undefined || block.to !== to || block.begun) return;
    if (block.covers.some((other) => overlap(other, sum))) return;
    block.covers.push(sum);
    block.shards += sum.width;
    if (block.shards === this.setup.shards) this.begin(block);
  }

  /** A whole sum lies in its slot, perhaps without having come in pieces. */
  arrivedWhole(sum: Cover): void {
    for (const block of this.setup.blocks) this.arrived(block, sum);
  }

  /** What lies in a slot is not to be used any more. @returns whether a block that has begun may still read it */
  forget(slot: number): boolean {
    let isUsed = false;
    for (const block of this.blocks.values()) {
      if (block.begun) {
        isUsed ||= block.covers.some((cover) => cover.slot === slot);
        continue;
      }
      block.covers = block.covers.filter((cover) => cover.slot !== slot);
      block.shards = shardCount(block.covers);
    }
    return isUsed;
  }

  /** Nothing more is begun: the step is complete, and what is left goes in larger pieces. */
  close(): void {
    this.closed = true;
  }

  /** Waits for what was begun. @returns its reports, and the parts of the tasks that are left */
  async settle(tasks: readonly SliceTask[]): Promise<Updates> {
    this.close();
    const reports = await Promise.all(this.running);
    const left = tasks.flatMap((task) => uncovered(task, this.done).map((range) => ({ ...task, ...range })));
    return { reports, left };
  }

  private begin(block: Block): void {
    const { updateOf } = this.setup;
    if (updateOf === null) return;
    block.begun = true;
    const { from, to } = block;
    const covers = block.covers.toSorted((a, b) => a.from - b.from);
    const report = this.setup.run(updateOf({ from, to }, covers));
    this.done.push({ from, to });
    this.running.push(report);
    report.then(
      () => this.setup.onUpdated({ from, to }),
      () => {
        // Whoever settles the step sees why.
      },
    );
  }
}

function overlap(a: Cover, b: Cover): boolean {
  return a.from < b.from + b.width && b.from < a.from + a.width;
}
