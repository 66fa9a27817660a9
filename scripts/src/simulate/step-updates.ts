/** What the coordinator has of a step's gradient, block by block, and the new weights that come of it. */
import type { ClusterShape } from './cluster-shape.ts';
import type { ThreadPool } from './machines.ts';

export interface UpdateListener {
  /** New weights of a block are there while the step goes on. */
  readonly onAhead: (part: number, block: number) => void;
  /** All new weights are there. */
  readonly onUpdated: () => void;
}

export class StepUpdates {
  private readonly shape: ClusterShape;
  private readonly pool: ThreadPool;
  private readonly listener: UpdateListener;
  /** Seconds of one byte: its summands, and the optimizer. */
  private readonly byteSeconds: number;
  /** Shards that each block has come from. */
  private readonly arrivals: number[][];
  private readonly begun: boolean[][];
  private running = 0;
  private complete = false;

  /** @param summands sums of the step that come from anywhere */
  constructor(shape: ClusterShape, pool: ThreadPool, summands: number, listener: UpdateListener) {
    const { costs, parts } = shape;
    this.shape = shape;
    this.pool = pool;
    this.listener = listener;
    this.byteSeconds = summands * costs.reduceByteSeconds + costs.updateByteSeconds;
    this.arrivals = parts.map(({ blocks }) => blocks.map(() => 0));
    this.begun = parts.map(({ blocks }) => blocks.map(() => false));
  }

  /** Blocks that nodes have been sent before the commit. */
  isAhead(part: number, block: number): boolean {
    return this.begun[part]?.[block] === true;
  }

  /** A block of a sum of so many shards is in the store. */
  arrived(part: number, block: number, width: number): void {
    const { updatesEarly, shards, parts } = this.shape;
    const arrivals = this.arrivals[part] as number[];
    const count = (arrivals[block] = (arrivals[block] ?? 0) + width);
    // The coordinator's own shards are no pieces: with them nothing is whole before the end.
    if (!updatesEarly || count < shards.length) return;
    (this.begun[part] as boolean[])[block] = true;
    this.running++;
    const bytes = parts[part]?.blocks[block] ?? 0;
    this.pool.do(bytes * this.byteSeconds, () => {
      this.listener.onAhead(part, block);
      this.running--;
      this.updateRest();
    });
  }

  /** The last shard is in. */
  finish(): void {
    this.complete = true;
    this.updateRest();
  }

  /** What nobody has begun, in one slice for each thread; but first what was begun is finished. */
  private updateRest(): void {
    if (!this.complete || this.running > 0) return;
    const { parts } = this.shape;
    let bytes = 0;
    for (const [part, { blocks }] of parts.entries()) {
      for (const [block, size] of blocks.entries()) if (!this.isAhead(part, block)) bytes += size;
    }
    let left = this.pool.size;
    for (let i = 0; i < this.pool.size; i++) {
      this.pool.do((bytes / this.pool.size) * this.byteSeconds, () => {
        if (--left === 0) this.listener.onUpdated();
      });
    }
  }
}
