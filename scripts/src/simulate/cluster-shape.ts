/** Everything a simulated step depends on. Times in seconds, sizes in bytes; all rates are measured or stated. */

/** What one machine's parts cost; from a calibration, or from a test. */
export interface Costs {
  /** One image, forward and backward and loading, on one thread of speed 1. */
  readonly imageSeconds: number;
  /** Share of an image's time that is the backward pass, during which gradients become final. */
  readonly backwardShare: number;
  /** One byte of one summand in the coordinator's tree, on one thread. */
  readonly reduceByteSeconds: number;
  /** One byte of the parameters in the optimizer, on one thread. */
  readonly updateByteSeconds: number;
  /** One byte made into frames: once, however many nodes get it. */
  readonly encodeByteSeconds: number;
  /** One byte of weights that the coordinator hands to a socket. */
  readonly sendByteSeconds: number;
  /** One byte of a gradient that the coordinator takes from a socket, puts into the store and checks. */
  readonly receiveByteSeconds: number;
  /** One byte of a gradient that a node hands to its socket. */
  readonly nodeSendByteSeconds: number;
  /** One byte of weights that a node takes from its socket; it does not look at the floats. */
  readonly nodeReceiveByteSeconds: number;
  /** One step, whatever it holds: planning, messages between threads, the commit. */
  readonly stepSeconds: number;
}

export interface NodeShape {
  readonly threads: number;
  /** 1 is the machine that was calibrated. */
  readonly speed: number;
}

/** A part of the gradient, which becomes final all at once. */
export interface GradientPart {
  readonly bytes: number;
  /** Share of the backward pass after which it is final, 0..1. */
  readonly finalAt: number;
}

/** A part as it travels: one block behind the other, each summed and updated on its own. */
export interface PartInBlocks {
  readonly finalAt: number;
  /** Sizes. */
  readonly blocks: readonly number[];
}

/** One machine for everybody. */
export interface SharedMachine {
  readonly cores: number;
  /** Threads of others that always want a core; may be a fraction. */
  readonly others: number;
  /** How much longer work takes when all cores are busy: they share caches, memory, perhaps arithmetic units. */
  readonly crowding: number;
  /** How much longer than that when processes take turns on a core: each finds the caches full of the other's data. */
  readonly switching: number;
}

export interface ClusterShape {
  readonly costs: Costs;
  readonly nodes: readonly NodeShape[];
  /** Threads of the coordinator: they reduce, and compute when it has a share of the shards. */
  readonly coordinatorThreads: number;
  readonly coordinatorLink: number;
  readonly nodeLink: number;
  /** One way. */
  readonly latency: number;
  /** Null: every machine has enough cores of its own. */
  readonly shared: SharedMachine | null;
  /** In the order in which the backward pass finishes them; weights travel in the same blocks. */
  readonly parts: readonly PartInBlocks[];
  /** Weights that no gradient belongs to: they are known with the commit only. */
  readonly statisticsBytes: number;
  /** Samples of each shard. */
  readonly shards: readonly number[];
  /** Whether a block is updated as soon as it is whole, or all of them when the last shard is in. */
  readonly updatesEarly: boolean;
}

/** Payload of the largest frame. */
export const frameBytes = 2 ** 20;

/** Cuts parts to the size of a frame. */
export function cutBlocks(parts: readonly GradientPart[], largest = frameBytes): PartInBlocks[] {
  return parts.map(({ bytes, finalAt }) => {
    const count = Math.max(1, Math.ceil(bytes / largest));
    return { finalAt, blocks: Array.from({ length: count }, () => bytes / count) };
  });
}

export function gradientBytes({ parts }: Pick<ClusterShape, 'parts'>): number {
  return parts.reduce((sum, { blocks }) => sum + blocks.reduce((a, b) => a + b, 0), 0);
}

/** All that a node gets for a step. */
export function weightBytes(shape: Pick<ClusterShape, 'parts' | 'statisticsBytes'>): number {
  return gradientBytes(shape) + shape.statisticsBytes;
}
