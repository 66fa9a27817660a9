/** A node of the simulation: its link, the thread of its socket, its ranks. */
import type { Subtree } from '@lockstep/shared/protocol/messages.ts';
import type { ClusterShape, NodeShape } from './cluster-shape.ts';
import type { EventQueue } from './event-queue.ts';
import { Link, type Processor, Thread } from './machines.ts';
import { SubtreeComputation } from './subtree-computation.ts';

/** What the coordinator is told. */
export interface NodeListener {
  /** It has all weights and its work: it begins. */
  readonly onBegun: () => void;
  readonly onComputed: () => void;
  /** Block `block` of part `part` has left the node's link. */
  readonly onBlock: (subtree: Subtree, part: number, block: number) => void;
}

export class SimulatedNode {
  private readonly subtrees: readonly Subtree[];
  private readonly shape: ClusterShape;
  private readonly sockets: Thread;
  private readonly down: Link;
  private readonly up: Link;
  private readonly computation: SubtreeComputation;
  private readonly listener: NodeListener;
  private readonly queue: EventQueue;
  /** Bytes of weights that are on their way. */
  private missing = 0;
  private isAssigned = false;

  constructor(
    queue: EventQueue,
    processor: Processor,
    shape: ClusterShape,
    node: NodeShape,
    subtrees: readonly Subtree[],
    listener: NodeListener,
  ) {
    const { nodeLink, latency } = shape;
    this.queue = queue;
    this.shape = shape;
    this.subtrees = subtrees;
    this.listener = listener;
    this.sockets = new Thread(processor);
    this.down = new Link(queue, nodeLink, latency);
    this.up = new Link(queue, nodeLink, latency);
    this.computation = new SubtreeComputation(processor, shape, node);
  }

  /** So much more will come before it can begin. */
  expectWeights(bytes: number): void {
    this.missing += bytes;
  }

  /** Some of its weights have passed the coordinator's link. */
  takeWeights(bytes: number): void {
    this.down.send(bytes, () => {
      this.sockets.do(bytes * this.shape.costs.nodeReceiveByteSeconds, () => {
        this.missing -= bytes;
        this.begin();
      });
    });
  }

  /** It is given its work: a small frame, that stands behind nothing but the way. */
  assign(): void {
    this.queue.after(this.shape.latency, () => {
      this.isAssigned = true;
      this.begin();
    });
  }

  /** Begins when it has its work and all weights. */
  private begin(): void {
    // Sums of sizes are rounded: half a byte is none.
    if (!this.isAssigned || this.missing > 0.5) return;
    this.isAssigned = false;
    const { costs, parts } = this.shape;
    const { listener } = this;
    const perByte = costs.encodeByteSeconds + costs.nodeSendByteSeconds;
    listener.onBegun();
    this.computation.start(this.subtrees, {
      partReady: (subtree, part) => {
        for (const [block, bytes] of (parts[part]?.blocks ?? []).entries()) {
          this.sockets.do(bytes * perByte, () => {
            this.up.send(bytes, () => listener.onBlock(subtree, part, block));
          });
        }
      },
      subtreeReady: () => listener.onComputed(),
    });
  }
}
