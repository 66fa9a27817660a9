/** One calibration: all costs of this machine, in about half a minute. */
import type { Costs } from '../cluster-shape.ts';
import { solveReduction, timeSteps } from './compute-costs.ts';
import { measureWire } from './wire-costs.ts';

export interface Calibration extends Costs {
  readonly model: string;
  readonly parameters: number;
  readonly totalFloats: number;
  /** Bytes a second between two processes of this machine. */
  readonly loopback: number;
}

/** Of the three passes of a step two are backward: their gradients become final layer by layer. */
const backwardShare = 2 / 3;

/** Shards of the two runs from whose difference the reduction is found. */
const [few, many] = [2, 8] as const;

/** Measures. @param seconds for each of the three networks */
export async function calibrate(
  model: string,
  batch: number,
  seconds: number,
  tell: (text: string) => void,
): Promise<Calibration> {
  tell('frames over loopback');
  const wire = await measureWire(100);
  tell('a step with hardly any bytes');
  const small = await timeSteps({ model: 'softmax-regression', batch, shards: few }, seconds / 4);
  tell(`${model} in ${few} shards`);
  const two = await timeSteps({ model, batch, shards: few }, seconds);
  tell(`${model} in ${many} shards`);
  const eight = await timeSteps({ model, batch, shards: many }, seconds);
  const bytes = 4 * two.parameters;
  const reduction = solveReduction(
    { shards: few, seconds: two.restSeconds },
    { shards: many, seconds: eight.restSeconds },
    bytes,
    small.restSeconds,
  );
  const { bandwidth, ...bytesCosts } = wire;
  return {
    model,
    parameters: two.parameters,
    totalFloats: two.totalFloats,
    imageSeconds: eight.imageSeconds,
    backwardShare,
    ...reduction,
    ...bytesCosts,
    loopback: bandwidth,
  };
}
