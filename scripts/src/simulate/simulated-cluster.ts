/** The coordinator and its nodes, step after step: the only state that outlives a step is who has which weights. */
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import type { ClusterShape } from './cluster-shape.ts';
import type { EventQueue } from './event-queue.ts';
import { Link, Processor, Thread, ThreadPool } from './machines.ts';
import { SimulatedNode } from './simulated-node.ts';
import { StepUpdates } from './step-updates.ts';

/** Shards of the coordinator itself (entry 0) and of each node, as the project's planner gives them out. */
export type Shares = readonly (readonly Subtree[])[];

/** When what happened in a step: on the clock of the simulation. */
export interface StepTimes {
  /** The commit of the step before. */
  readonly begun: number;
  weightsAt: number;
  computedAt: number;
  gathered: number;
  committed: number;
  /** Weights that the step begins with, through the coordinator's link; how many of them before they were committed. */
  bytesDown: number;
  aheadBytes: number;
  bytesUp: number;
  /** Processor time of everybody when the step began. */
  readonly busySeconds: number;
}

export class SimulatedCluster {
  /** One a step. */
  readonly times: StepTimes[] = [];
  private readonly queue: EventQueue;
  private readonly shape: ClusterShape;
  private readonly shares: Shares;
  private readonly steps: number;
  private readonly processors: readonly Processor[];
  private readonly sockets: Thread;
  private readonly ranks: ThreadPool;
  private readonly down: Link;
  private readonly up: Link;
  private readonly nodes: readonly SimulatedNode[];
  private readonly subtrees: number;
  private readonly summands: number;
  private subtreesLeft = 0;
  private updates: StepUpdates;
  private aheadBytes = 0;

  /** @param shares entry 0 the coordinator's, then one for each node */
  constructor(queue: EventQueue, shape: ClusterShape, shares: Shares, steps: number) {
    this.queue = queue;
    this.shape = shape;
    this.shares = shares;
    this.steps = steps;
    const { shared, coordinatorThreads, coordinatorLink } = shape;
    const one = shared === null ? null : new Processor(queue, shared.cores, shared);
    // A machine of one's own has a core for every thread and one for the sockets.
    const own = (threads: number): Processor => one ?? new Processor(queue, threads + 1);
    const threads = Math.max(1, coordinatorThreads);
    const coordinator = own(threads);
    this.sockets = new Thread(coordinator);
    this.ranks = new ThreadPool(coordinator, threads);
    // The way's time is counted once: on the node's own link.
    this.down = new Link(queue, coordinatorLink, 0);
    this.up = new Link(queue, coordinatorLink, 0);
    this.subtrees = shares.reduce((sum, { length }) => sum + length, 0);
    // The coordinator's own shards are summed one by one, those of a node come as few sums.
    this.summands = shares[0]?.reduce((sum, { width }) => sum + width - 1, this.subtrees) ?? 0;
    const processors = shape.nodes.map((node) => own(node.threads));
    this.processors = [...new Set([coordinator, ...processors])];
    this.nodes = shape.nodes.map(
      (node, i) =>
        new SimulatedNode(queue, processors[i] ?? coordinator, shape, node, shares[i + 1] ?? [], {
          onBegun: () => (this.now.weightsAt = queue.now),
          onComputed: () => (this.now.computedAt = queue.now),
          onBlock: (subtree, part, block) => this.takeBlock(subtree, part, block),
        }),
    );
    this.updates = this.newUpdates();
  }

  /** Everybody has the weights of the first step. */
  begin(): void {
    this.sockets.do(this.shape.costs.stepSeconds, () => this.beginStep());
  }

  /** The step that goes on. */
  private get now(): StepTimes {
    return this.times.at(-1) as StepTimes;
  }

  private beginStep(): void {
    const { queue, nodes } = this;
    const busySeconds = this.processors.reduce((sum, processor) => sum + processor.busySeconds, 0);
    const { aheadBytes } = this;
    const rest = { weightsAt: 0, computedAt: 0, gathered: 0, committed: Number.NaN, bytesUp: 0 };
    this.times.push({ begun: queue.now, aheadBytes, bytesDown: aheadBytes, busySeconds, ...rest });
    this.aheadBytes = 0;
    if (this.times.length > 1) this.sendRest();
    this.updates = this.newUpdates();
    this.subtreesLeft = this.subtrees;
    for (const node of nodes) node.assign();
    this.computeHere();
  }

  private newUpdates(): StepUpdates {
    return new StepUpdates(this.shape, this.ranks, this.summands, {
      onAhead: (part, block) => {
        const bytes = this.shape.parts[part]?.blocks[block] ?? 0;
        this.aheadBytes += bytes * this.nodes.length;
        this.sendWeights(bytes);
      },
      onUpdated: () => this.sockets.do(this.shape.costs.stepSeconds, () => this.commit()),
    });
  }

  /** Encoded once, sent to everybody. */
  private sendWeights(bytes: number): void {
    const { costs } = this.shape;
    if (this.nodes.length > 0) this.sockets.do(bytes * costs.encodeByteSeconds, () => undefined);
    for (const node of this.nodes) {
      node.expectWeights(bytes);
      this.sockets.do(bytes * costs.sendByteSeconds, () =>
        this.down.send(bytes, () => node.takeWeights(bytes)),
      );
    }
  }

  /** What has not gone ahead. */
  private sendRest(): void {
    const { parts, statisticsBytes } = this.shape;
    const missing = parts.flatMap(({ blocks }, part) =>
      blocks.filter((_, block) => !this.updates.isAhead(part, block)),
    );
    if (statisticsBytes > 0) missing.push(statisticsBytes);
    for (const bytes of missing) {
      this.now.bytesDown += bytes * this.nodes.length;
      this.sendWeights(bytes);
    }
  }

  /** Some bytes of a sum have left a node. */
  private takeBlock(subtree: Subtree, part: number, block: number): void {
    const { parts, costs } = this.shape;
    const bytes = parts[part]?.blocks[block] ?? 0;
    const isLast = part === parts.length - 1 && block === (parts[part]?.blocks.length ?? 0) - 1;
    this.now.bytesUp += bytes;
    this.up.send(bytes, () => {
      this.sockets.do(bytes * costs.receiveByteSeconds, () => {
        this.updates.arrived(part, block, subtree.width);
        if (isLast) this.subtreeIn();
      });
    });
  }

  /** The coordinator's own shards, behind what its ranks still have to do. */
  private computeHere(): void {
    const { costs, shards } = this.shape;
    for (const { from, width } of this.shares[0] ?? []) {
      let left = width;
      for (const samples of shards.slice(from, from + width)) {
        this.ranks.do(samples * costs.imageSeconds, () => {
          this.now.computedAt = this.queue.now;
          if (--left === 0) this.subtreeIn();
        });
      }
    }
  }

  private subtreeIn(): void {
    if (--this.subtreesLeft > 0) return;
    this.now.gathered = this.queue.now;
    this.updates.finish();
  }

  private commit(): void {
    this.now.committed = this.queue.now;
    if (this.times.length < this.steps) this.beginStep();
  }
}
