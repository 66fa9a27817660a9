/** Shards on the ranks of one machine, in order; a part of a subtree is final when its last shard has it. */
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import type { ClusterShape, NodeShape } from './cluster-shape.ts';
import { type Processor, Thread } from './machines.ts';

export interface ComputationListener {
  /** Part `index` of a subtree's sum is final; the last one ends the subtree. */
  readonly partReady: (subtree: Subtree, index: number) => void;
  readonly subtreeReady: (subtree: Subtree) => void;
}

interface Job {
  readonly shard: number;
  readonly subtree: Subtree;
  /** Shards of the subtree that have passed each part. */
  readonly passed: number[];
}

export class SubtreeComputation {
  private readonly threads: readonly Thread[];
  private readonly shape: ClusterShape;
  private readonly speed: number;
  private jobs: Job[] = [];

  constructor(processor: Processor, shape: ClusterShape, node: NodeShape) {
    this.threads = Array.from({ length: node.threads }, () => new Thread(processor));
    this.shape = shape;
    this.speed = node.speed;
  }

  /** Computes the shards of a step; those of the step before are done. */
  start(subtrees: readonly Subtree[], listener: ComputationListener): void {
    this.jobs = subtrees.flatMap((subtree) => {
      const passed = this.shape.parts.map(() => 0);
      return Array.from({ length: subtree.width }, (_, i) => ({ shard: subtree.from + i, subtree, passed }));
    });
    for (const thread of this.threads) this.pull(thread, listener);
  }

  private pull(thread: Thread, listener: ComputationListener): void {
    const job = this.jobs.shift();
    if (job === undefined) return;
    const { subtree, passed } = job;
    const { costs, parts, shards } = this.shape;
    const compute = ((shards[job.shard] ?? 0) * costs.imageSeconds) / this.speed;
    const backward = compute * costs.backwardShare;
    // A shard of a wider subtree is one summand of its partial sum.
    const sum = subtree.width > 1 ? costs.reduceByteSeconds / this.speed : 0;
    thread.do(compute - backward, () => undefined);
    let passedShare = 0;
    for (const [index, { finalAt, blocks }] of parts.entries()) {
      const bytes = blocks.reduce((a, b) => a + b, 0);
      thread.do(backward * (finalAt - passedShare) + bytes * sum, () => {
        const count = (passed[index] = (passed[index] ?? 0) + 1);
        if (count === subtree.width) listener.partReady(subtree, index);
      });
      passedShare = finalAt;
    }
    thread.do(backward * (1 - passedShare), () => {
      if (passed.every((count) => count === subtree.width)) listener.subtreeReady(subtree);
      this.pull(thread, listener);
    });
  }
}
