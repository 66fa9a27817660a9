/**
 * One step over a cluster, event by event: weights down, shards, gradients up, reduction. A step ends with a
 * commit that everybody waits for, so one step stands for all of them.
 */
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import { type ClusterShape, type Costs, type NodeShape, partsOf } from './cluster-shape.ts';
import { EventQueue } from './event-queue.ts';
import { Link, Processor, Thread } from './machines.ts';

export interface StepPrediction {
  readonly seconds: number;
  /** When the last node had its weights, when the last shard was computed, when the last gradient was in. */
  readonly weightsAt: number;
  readonly computedAt: number;
  readonly gathered: number;
  /** Through the coordinator's link in each direction. */
  readonly bytesDown: number;
  readonly bytesUp: number;
}

/** Shards of the coordinator itself (entry 0) and of each node, as the project's planner gives them out. */
export type Shares = readonly (readonly Subtree[])[];

/** A shared machine, or one of its own with a core for every thread and one for the sockets. */
function processorFor(queue: EventQueue, shared: Processor | null, threads: number): Processor {
  return shared ?? new Processor(queue, threads + 1);
}

/** Predicts a step. @param shares entry 0 the coordinator's, then one for each node */
export function simulateStep(shape: ClusterShape, shares: Shares): StepPrediction {
  const queue = new EventQueue();
  const step = new SimulatedStep(queue, shape, shares);
  step.begin();
  queue.run();
  return step.prediction();
}

class SimulatedStep {
  private readonly queue: EventQueue;
  private readonly shape: ClusterShape;
  private readonly shares: Shares;
  private readonly shared: Processor | null;
  private readonly coordinator: Processor;
  private readonly sockets: Thread;
  private readonly down: Link;
  private readonly up: Link;
  private subtreesLeft: number;
  private times = { weightsAt: 0, computedAt: 0, gathered: 0, end: Number.NaN };
  private bytesUp = 0;

  constructor(queue: EventQueue, shape: ClusterShape, shares: Shares) {
    this.queue = queue;
    this.shape = shape;
    this.shares = shares;
    const { sharedCores, coordinatorThreads, coordinatorLink } = shape;
    this.shared = sharedCores === null ? null : new Processor(queue, sharedCores);
    this.coordinator = processorFor(queue, this.shared, coordinatorThreads);
    this.sockets = new Thread(this.coordinator);
    // The way's time is counted once: on the node's own link.
    this.down = new Link(queue, coordinatorLink, 0);
    this.up = new Link(queue, coordinatorLink, 0);
    this.subtreesLeft = shares.reduce((sum, subtrees) => sum + subtrees.length, 0);
  }

  /** Plan, encode once, send part by part to everybody; the coordinator's own ranks begin at once. */
  begin(): void {
    const { shape, queue, sockets } = this;
    const { costs, weightBytes, partBytes } = shape;
    const nodes = shape.nodes
      .map((node, i) => new SimulatedNode(this, queue, node, this.shares[i + 1] ?? []))
      .filter(({ subtrees }) => subtrees.length > 0);
    sockets.do(costs.stepSeconds, () => {
      this.computeHere();
      for (const bytes of nodes.length > 0 ? partsOf(weightBytes, partBytes) : []) {
        sockets.do(bytes * costs.encodeByteSeconds, () => undefined);
        for (const node of nodes) {
          sockets.do(bytes * costs.sendByteSeconds, () => {
            this.down.send(bytes, () => node.receive(bytes));
          });
        }
      }
    });
  }

  processor(threads: number): Processor {
    return processorFor(this.queue, this.shared, threads);
  }

  get clusterShape(): ClusterShape {
    return this.shape;
  }

  weightsArrived(): void {
    this.times.weightsAt = this.queue.now;
  }

  /** Some bytes of a sum have left a node. */
  gradientArrives(bytes: number, taken: () => void): void {
    this.bytesUp += bytes;
    this.up.send(bytes, () => this.sockets.do(bytes * this.shape.costs.receiveByteSeconds, taken));
  }

  computed(): void {
    this.times.computedAt = this.queue.now;
  }

  subtreeIn(): void {
    if (--this.subtreesLeft > 0) return;
    this.times.gathered = this.queue.now;
    this.reduce();
  }

  prediction(): StepPrediction {
    const { end, ...times } = this.times;
    const served = this.shares.slice(1).filter((subtrees) => subtrees.length > 0).length;
    return { seconds: end, ...times, bytesDown: served * this.shape.weightBytes, bytesUp: this.bytesUp };
  }

  /** The coordinator's own shards: their gradients need no network. */
  private computeHere(): void {
    const subtrees = this.shares[0] ?? [];
    const node = { threads: this.shape.coordinatorThreads, speed: 1 };
    const compute = new SubtreeComputation(this.coordinator, this.shape, node, subtrees);
    compute.start({
      partReady: () => undefined,
      subtreeReady: () => {
        this.computed();
        this.subtreeIn();
      },
    });
  }

  /** Each thread sums and updates its slice. */
  private reduce(): void {
    const { costs, gradientBytes, coordinatorThreads } = this.shape;
    const summands = this.shares.reduce((sum, subtrees) => sum + subtrees.length, 0);
    const threads = Math.max(1, coordinatorThreads);
    const slice = gradientBytes / threads;
    const seconds = slice * (summands * costs.reduceByteSeconds + costs.updateByteSeconds);
    let left = threads;
    for (let i = 0; i < threads; i++) {
      this.coordinator.work(seconds, () => {
        if (--left === 0) this.times.end = this.queue.now;
      });
    }
  }
}

/** A node: its link, its socket thread, its ranks. */
class SimulatedNode {
  readonly subtrees: readonly Subtree[];
  private readonly step: SimulatedStep;
  private readonly shape: ClusterShape;
  private readonly sockets: Thread;
  private readonly down: Link;
  private readonly up: Link;
  private readonly computation: SubtreeComputation;
  private missing: number;

  constructor(step: SimulatedStep, queue: EventQueue, node: NodeShape, subtrees: readonly Subtree[]) {
    this.step = step;
    this.shape = step.clusterShape;
    this.subtrees = subtrees;
    const { nodeLink, latency, weightBytes } = this.shape;
    const processor = step.processor(node.threads);
    this.sockets = new Thread(processor);
    this.down = new Link(queue, nodeLink, latency);
    this.up = new Link(queue, nodeLink, latency);
    this.computation = new SubtreeComputation(processor, this.shape, node, subtrees);
    this.missing = weightBytes;
  }

  /** A part of the weights has passed the coordinator's link. */
  receive(bytes: number): void {
    this.down.send(bytes, () => {
      this.sockets.do(bytes * this.shape.costs.receiveByteSeconds, () => {
        this.missing -= bytes;
        if (this.missing > 0.5) return;
        this.step.weightsArrived();
        this.compute();
      });
    });
  }

  private compute(): void {
    const { costs } = this.shape;
    const perByte = costs.encodeByteSeconds + costs.sendByteSeconds;
    this.computation.start({
      partReady: (bytes, last) => {
        this.sockets.do(bytes * perByte, () => {
          this.up.send(bytes, () => {
            this.step.gradientArrives(bytes, () => {
              if (last) this.step.subtreeIn();
            });
          });
        });
      },
      subtreeReady: () => this.step.computed(),
    });
  }
}

interface ComputationListener {
  /** A part of a subtree's sum is final; the last one ends the subtree. */
  readonly partReady: (bytes: number, last: boolean) => void;
  readonly subtreeReady: () => void;
}

/** Shards on the ranks of one machine, in order; the parts of a subtree are final when its last shard has them. */
class SubtreeComputation {
  private readonly threads: Thread[];
  private readonly shape: ClusterShape;
  private readonly speed: number;
  private readonly subtrees: readonly Subtree[];
  private readonly parts: readonly number[];

  constructor(processor: Processor, shape: ClusterShape, node: NodeShape, subtrees: readonly Subtree[]) {
    this.threads = Array.from({ length: node.threads }, () => new Thread(processor));
    this.shape = shape;
    this.speed = node.speed;
    this.subtrees = subtrees;
    this.parts = partsOf(shape.gradientBytes, shape.partBytes);
  }

  start(listener: ComputationListener): void {
    const jobs = this.subtrees.flatMap((subtree) => {
      const passed = this.parts.map(() => 0);
      return Array.from({ length: subtree.width }, (_, i) => ({ shard: subtree.from + i, subtree, passed }));
    });
    let next = 0;
    const pull = (thread: Thread) => {
      const job = jobs[next++];
      if (job === undefined) return;
      const { subtree, passed, shard } = job;
      const costs = this.shardCosts(this.shape.costs, this.shape.shards[shard] ?? 0, subtree.width);
      thread.do(costs.before, () => undefined);
      for (const [part, bytes] of this.parts.entries()) {
        thread.do(costs.part, () => {
          passed[part] = (passed[part] ?? 0) + 1;
          const last = part === this.parts.length - 1;
          if (passed[part] === subtree.width) listener.partReady(bytes, last);
          if (!last) return;
          if (passed[part] === subtree.width) listener.subtreeReady();
          pull(thread);
        });
      }
    };
    for (const thread of this.threads) pull(thread);
  }

  /** Seconds before the first part of a shard's gradient is final, and for each part from then on. */
  private shardCosts(costs: Costs, samples: number, width: number): { before: number; part: number } {
    const compute = (samples * costs.imageSeconds) / this.speed;
    // A shard of a subtree is one summand of its partial sum.
    const sum = width > 1 ? (this.shape.gradientBytes * costs.reduceByteSeconds) / this.speed : 0;
    const during = compute * costs.backwardShare + sum;
    return { before: compute * (1 - costs.backwardShare), part: during / this.parts.length };
  }
}
