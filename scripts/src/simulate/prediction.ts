/** From a cluster to its efficiency and to what holds it back. Pure. */
import type { ClusterShape, Costs, NodeShape } from './cluster-shape.ts';
import { shareOut } from './planner.ts';
import { simulateStep, type StepPrediction } from './step-simulation.ts';

export type Bottleneck =
  | 'compute'
  | "coordinator's link"
  | "coordinator's sockets"
  | "nodes' sockets"
  | 'reduction'
  | 'imbalance'
  | 'latency';

export interface Prediction {
  readonly nodes: number;
  readonly step: StepPrediction;
  readonly imagesPerSecond: number;
  /** Against as many images a second as all ranks compute when they never wait. */
  readonly efficiency: number;
  readonly bottleneck: Bottleneck;
  /** Share of the step that would be saved without that bottleneck. */
  readonly costs: number;
}

/** From this efficiency on, arithmetic is what there is to speed up. */
const computeBound = 0.9;

/** The same cluster with one thing made perfect. */
const cures: readonly { readonly name: Bottleneck; readonly cure: (shape: ClusterShape) => ClusterShape }[] =
  [
    {
      name: "coordinator's link",
      cure: (shape) => ({ ...shape, coordinatorLink: Number.POSITIVE_INFINITY }),
    },
    {
      name: "coordinator's sockets",
      cure: (shape) =>
        withCosts(shape, { encodeByteSeconds: 0, sendByteSeconds: 0, receiveByteSeconds: 0, stepSeconds: 0 }),
    },
    {
      name: "nodes' sockets",
      cure: (shape) => withCosts(shape, { nodeSendByteSeconds: 0, nodeReceiveByteSeconds: 0 }),
    },
    { name: 'reduction', cure: (shape) => withCosts(shape, { reduceByteSeconds: 0, updateByteSeconds: 0 }) },
    { name: 'latency', cure: (shape) => ({ ...shape, latency: 0 }) },
  ];

function withCosts(shape: ClusterShape, costs: Partial<Costs>): ClusterShape {
  return { ...shape, costs: { ...shape.costs, ...costs } };
}

/** Images of a step, and images a second of all ranks that never wait. */
function ideal(shape: ClusterShape, coordinatorComputes: boolean): { images: number; rate: number } {
  const images = shape.shards.reduce((sum, samples) => sum + samples, 0);
  const own = coordinatorComputes ? shape.coordinatorThreads : 0;
  const threads = shape.nodes.reduce((sum, { threads: n, speed }) => sum + n * speed, own);
  const usable = Math.min(threads, shape.shared?.cores ?? threads);
  return { images, rate: usable / shape.costs.imageSeconds };
}

/** Predicts throughput, and names what would save most if it cost nothing. */
export function predict(shape: ClusterShape, coordinatorComputes = false): Prediction {
  const shares = shareOut(shape, coordinatorComputes);
  const step = simulateStep(shape, shares);
  const { images, rate } = ideal(shape, coordinatorComputes);
  const efficiency = images / step.seconds / rate;
  // Imbalance is no knob: it is what the slowest machine computes beyond the even share.
  const imbalance = Math.max(0, slowestSeconds(shape, shares) - images / rate);
  let worst: { name: Bottleneck; saved: number } = { name: 'imbalance', saved: imbalance };
  for (const { name, cure } of cures) {
    const saved = step.seconds - simulateStep(cure(shape), shares).seconds;
    if (saved > worst.saved) worst = { name, saved };
  }
  const compute = efficiency >= computeBound;
  return {
    nodes: shape.nodes.length,
    step,
    imagesPerSecond: images / step.seconds,
    efficiency,
    bottleneck: compute ? 'compute' : worst.name,
    costs: compute ? efficiency : worst.saved / step.seconds,
  };
}

/** Seconds of arithmetic of the machine that has most; its shards do not divide evenly among its threads. */
function slowestSeconds({ costs, nodes, shards }: ClusterShape, shares: ReturnType<typeof shareOut>): number {
  return Math.max(
    0,
    ...nodes.map(({ threads, speed }, i) => {
      const loads = Array.from({ length: threads }, () => 0);
      for (const { from, width } of shares[i + 1] ?? []) {
        for (let shard = from; shard < from + width; shard++) {
          const least = loads.indexOf(Math.min(...loads));
          loads[least] = (loads[least] ?? 0) + (shards[shard] ?? 0);
        }
      }
      return (Math.max(...loads) * costs.imageSeconds) / speed;
    }),
  );
}

/** Nodes whose speeds are spread evenly over 1 - spread .. 1 + spread, slow and fast ones mixed. */
export function spreadNodes(count: number, threads: number, spread: number): NodeShape[] {
  return Array.from({ length: count }, (_, i) => {
    // Golden-ratio steps: any number of nodes covers the range, without chance.
    const place = count === 1 ? 0.5 : (i * 0.618_033_988_75) % 1;
    return { threads, speed: 1 + spread * (2 * place - 1) };
  });
}
