/** The simulation against real runs on this machine: nodes of one thread each, all sharing the machine's cores. */
import { availableParallelism, loadavg } from 'node:os';
import { type ClusterShape, cutBlocks } from './cluster-shape.ts';
import { type Calibration, typical } from './measure/calibration.ts';
import { measureCluster } from './measure/cluster-run.ts';
import { measureOthers } from './measure/machine-load.ts';
import { middle } from './measure/middle.ts';
import { predict } from './prediction.ts';

/** One real run, and what was foretold for it from what was measured just before and after it. */
export interface Comparison {
  readonly nodes: number;
  /** Seconds of a step. */
  readonly predicted: number;
  readonly measured: number;
  /** Processor time of a step, of all processes together. Whoever else computes here changes it little. */
  readonly predictedWork: number;
  readonly measuredWork: number | null;
  /** Threads of others that wanted a core. */
  readonly others: number;
  /** Shards that were taken over from somebody slow, perhaps computed twice: the simulation knows no such thing. */
  readonly stolen: number;
}

export interface CheckRow {
  readonly model: string;
  readonly nodes: number;
  /** Images a second; medians over the rounds. */
  readonly predicted: number;
  readonly measured: number;
  /** Of the medians. */
  readonly ratio: number;
  /** Of each round. */
  readonly ratios: readonly number[];
  /** Their median. The two of a round are of about the same load, the two medians of the rounds need not be. */
  readonly pairedRatio: number;
  /** Of the medians of processor time, measured to predicted, so that it errs to the same side; null: unknown. */
  readonly workRatio: number | null;
  readonly met: boolean;
  readonly others: number;
  /** In all rounds together. */
  readonly stolen: number;
  /** Threads that wanted a core in the last minute of all. */
  readonly load: number;
}

/** Predictions may miss a measurement by so much. */
const tolerance = 0.15;

/** Seconds of each look at how busy the machine is. */
const lookSeconds = 1;

export interface CheckOptions {
  readonly model: string;
  readonly batch: number;
  readonly shards: number;
  readonly nodeCounts: readonly number[];
  readonly steps: number;
  readonly rounds: number;
}

/** The cluster that `measureCluster` starts, as the simulation sees it. Loopback has no wire: bytes cost processor time. */
export function loopbackShape(
  calibration: Calibration,
  { batch, shards }: Pick<CheckOptions, 'batch' | 'shards'>,
  nodes: number,
  others: number,
): ClusterShape {
  const { parts, parameters, totalFloats, crowding, switching } = calibration;
  return {
    costs: calibration,
    nodes: Array.from({ length: nodes }, () => ({ threads: 1, speed: 1 })),
    coordinatorThreads: 1,
    coordinatorLink: Number.POSITIVE_INFINITY,
    nodeLink: Number.POSITIVE_INFINITY,
    latency: 0,
    shared: { cores: availableParallelism(), others, crowding, switching },
    parts: cutBlocks(parts.map(({ floats, finalAt }) => ({ bytes: 4 * floats, finalAt }))),
    statisticsBytes: 4 * (totalFloats - parameters),
    shards: Array.from({ length: shards }, (_, k) => {
      return Math.floor((batch * (k + 1)) / shards) - Math.floor((batch * k) / shards);
    }),
    updatesEarly: true,
  };
}

/**
 * Measures and compares in turn: the machine is calibrated before and after every run, and looked at around it, so that
 * a machine that changes its speed by the minute does not decide.
 */
export async function check(
  first: Calibration,
  options: CheckOptions,
  calibrateAgain: () => Promise<Calibration>,
  tell: (text: string) => void,
): Promise<CheckRow[]> {
  const comparisons: Comparison[] = [];
  let before = first;
  for (let round = 0; round < options.rounds; round++) {
    for (const nodes of options.nodeCounts) {
      tell(`round ${round + 1} of ${options.rounds}, ${nodes} nodes`);
      const quiet = await measureOthers(lookSeconds);
      const figures = await measureCluster({ ...options, nodes });
      const others = (quiet + (await measureOthers(lookSeconds))) / 2;
      const after = await calibrateAgain();
      const { step } = predict(loopbackShape(typical([before, after]), options, nodes, others));
      before = after;
      comparisons.push({
        nodes,
        predicted: step.seconds,
        measured: figures.seconds,
        predictedWork: step.busySeconds,
        measuredWork: figures.processorSeconds,
        others,
        stolen: figures.stolen,
      });
    }
  }
  return options.nodeCounts.map((nodes) =>
    rowOf(
      options,
      nodes,
      comparisons.filter((one) => one.nodes === nodes),
    ),
  );
}

/** Pure but for the load: the rounds of one number of nodes. */
export function rowOf(
  { model, batch }: Pick<CheckOptions, 'model' | 'batch'>,
  nodes: number,
  comparisons: readonly Comparison[],
): CheckRow {
  const predicted = batch / middle(comparisons.map((one) => one.predicted));
  const measured = batch / middle(comparisons.map((one) => one.measured));
  const works = comparisons.map(({ measuredWork }) => measuredWork).filter((work) => work !== null);
  const ratio = predicted / measured;
  const ratios = comparisons.map((one) => one.measured / one.predicted);
  return {
    model,
    nodes,
    predicted,
    measured,
    ratio,
    ratios,
    pairedRatio: middle(ratios),
    workRatio:
      works.length === 0 ? null : middle(works) / middle(comparisons.map((one) => one.predictedWork)),
    met: Math.abs(ratio - 1) <= tolerance,
    others: middle(comparisons.map(({ others }) => others)),
    stolen: comparisons.reduce((sum, { stolen }) => sum + stolen, 0),
    load: loadavg()[0] ?? 0,
  };
}
