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
  /** One byte handed to a socket. */
  readonly sendByteSeconds: number;
  /** One byte taken from a socket, checked and put where it belongs. */
  readonly receiveByteSeconds: number;
  /** One step, whatever it holds: planning, messages between threads, the commit. */
  readonly stepSeconds: number;
}

export interface NodeShape {
  readonly threads: number;
  /** 1 is the machine that was calibrated. */
  readonly speed: number;
}

export interface ClusterShape {
  readonly costs: Costs;
  readonly nodes: readonly NodeShape[];
  /** Threads of the coordinator: they reduce, and compute when `coordinatorComputes`. */
  readonly coordinatorThreads: number;
  readonly coordinatorLink: number;
  readonly nodeLink: number;
  /** One way. */
  readonly latency: number;
  /** Cores that all processes share, as on loopback; null: every machine has enough of its own. */
  readonly sharedCores: number | null;
  readonly gradientBytes: number;
  readonly weightBytes: number;
  /** Samples of each shard. */
  readonly shards: readonly number[];
  /** Most bytes of a frame; parts travel one by one. */
  readonly partBytes: number;
}

/** Cuts into equal parts: for the sake of speed at most `most` of them. */
export function partsOf(bytes: number, partBytes: number, most = 24): number[] {
  const count = Math.max(1, Math.min(most, Math.ceil(bytes / partBytes)));
  return Array.from({ length: count }, () => bytes / count);
}
