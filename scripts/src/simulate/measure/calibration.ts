/** One calibration: all costs of this machine, in about half a minute. */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { collectGarbageSeldom } from '@lockstep/worker/node/garbage.ts';
import { LineProcess } from '../../peers/line-process.ts';
import type { Costs } from '../cluster-shape.ts';
import { type BackwardTiming, timeBackward } from './backward-timing.ts';
import { type MeasuredNetwork, solveReduction, timeSteps } from './compute-costs.ts';
import { middle } from './middle.ts';
import { measureWire, type WireCosts } from './wire-costs.ts';

export interface Calibration extends Costs, BackwardTiming {
  readonly model: string;
  readonly parameters: number;
  readonly totalFloats: number;
  /** How much more processor time an image takes when all cores compute. */
  readonly crowding: number;
  /** How much more than that when another process computes on all cores. */
  readonly switching: number;
  /** Bytes a second between two processes of this machine. */
  readonly loopback: number;
}

/** Shards of the two runs from whose difference the reduction is found. */
const [few, many] = [2, 8] as const;

/** Measures. @param seconds for each of the three networks */
export async function calibrate(
  model: string,
  batch: number,
  seconds: number,
  tell: (text: string) => void,
): Promise<Calibration> {
  collectGarbageSeldom();
  tell('frames over loopback');
  const { bandwidth } = await measureWire(100);
  tell(`frames over loopback, and ${model}, while ${model} is computed on all cores`);
  const { wire, imageSeconds: besides } = await measureInCrowd({ model, batch, shards: many }, seconds);
  tell('a step with hardly any bytes');
  const small = await timeSteps({ model: 'softmax-regression', batch, shards: few }, seconds / 4);
  tell(`${model} in ${few} shards`);
  const two = await timeSteps({ model, batch, shards: few }, seconds);
  tell(`${model} in ${many} shards`);
  const eight = await timeSteps({ model, batch, shards: many }, seconds);
  tell(`${model} on all cores`);
  const cores = availableParallelism();
  const shards = cores * Math.ceil(many / cores);
  const all = await timeSteps({ model, batch: (shards * batch) / many, shards }, seconds, cores);
  tell(`${model}, call by call`);
  const backward = await timeBackward(model, batch / many);
  const bytes = 4 * two.parameters;
  const reduction = solveReduction(
    { shards: few, seconds: two.restSeconds },
    { shards: many, seconds: eight.restSeconds },
    bytes,
    small.restSeconds,
  );
  return {
    model,
    parameters: two.parameters,
    totalFloats: two.totalFloats,
    imageSeconds: eight.imageSeconds,
    ...backward,
    ...reduction,
    ...wire,
    crowding: Math.max(1, all.processorImageSeconds / eight.processorImageSeconds),
    switching: Math.max(1, besides / all.processorImageSeconds),
    loopback: bandwidth,
  };
}

/** Seconds that the crowd may take to be there: it compiles, and touches all of its memory. */
const crowdSeconds = 120;

/**
 * What a byte and an image cost while the cores are busy with another process. In a cluster they are, and then a byte costs
 * about twice as much as on an idle machine (docs/log.md): arithmetic has emptied the caches, and memory serves others as
 * well.
 */
async function measureInCrowd(
  network: MeasuredNetwork,
  seconds: number,
): Promise<{ readonly wire: Omit<WireCosts, 'bandwidth'>; readonly imageSeconds: number }> {
  const script = fileURLToPath(new URL('crowd.ts', import.meta.url));
  const args = [script, network.model, String(network.batch / network.shards)];
  const crowd = new LineProcess({ file: process.execPath, args });
  try {
    await crowd.nextLine(crowdSeconds);
    const { bandwidth: _, ...wire } = await measureWire(100);
    const { processorImageSeconds } = await timeSteps(network, seconds);
    return { wire, imageSeconds: processorImageSeconds };
  } finally {
    await crowd.stop(1);
  }
}

/** Figure by figure the median of several calibrations: what disturbs one of them does not decide. */
export function typical(calibrations: readonly Calibration[]): Calibration {
  const at = (of: (calibration: Calibration) => number): number => middle(calibrations.map(of));
  const first = calibrations[0];
  if (first === undefined) throw new RangeError('no calibration');
  return {
    ...first,
    imageSeconds: at((one) => one.imageSeconds),
    backwardShare: at((one) => one.backwardShare),
    parts: first.parts.map(({ floats }, i) => ({
      floats,
      finalAt: at(({ parts }) => parts[i]?.finalAt ?? 1),
    })),
    reduceByteSeconds: at((one) => one.reduceByteSeconds),
    updateByteSeconds: at((one) => one.updateByteSeconds),
    encodeByteSeconds: at((one) => one.encodeByteSeconds),
    sendByteSeconds: at((one) => one.sendByteSeconds),
    receiveByteSeconds: at((one) => one.receiveByteSeconds),
    nodeSendByteSeconds: at((one) => one.nodeSendByteSeconds),
    nodeReceiveByteSeconds: at((one) => one.nodeReceiveByteSeconds),
    stepSeconds: at((one) => one.stepSeconds),
    crowding: at((one) => one.crowding),
    switching: at((one) => one.switching),
    loopback: at((one) => one.loopback),
  };
}
