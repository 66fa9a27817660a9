/** What arithmetic and reduction cost on this machine, from whole training steps of one thread. */
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { sampleSteps } from '@lockstep/coordinator/metrics/step-sampling.ts';
import { openSession } from '@lockstep/coordinator/session.ts';
import { median } from '@lockstep/coordinator/plan/program-timing.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import { chooseKernels } from '@lockstep/worker/rank/kernel-choice.ts';
import { processorSeconds } from './process-time.ts';

export interface StepTimes {
  readonly parameters: number;
  readonly totalFloats: number;
  /** Medians over the steps that count. */
  readonly imageSeconds: number;
  readonly restSeconds: number;
  /** Processor time of everything, for each image of the steps that count. */
  readonly processorImageSeconds: number;
}

export interface MeasuredNetwork {
  readonly model: string;
  readonly batch: number;
  readonly shards: number;
}

/** Steps that warm up: code is still being compiled. */
const warmUp = 3;

/**
 * Times steps for about `seconds`: arithmetic, and everything else a step holds. On a machine that others use as well
 * the wall clock counts them in; so both are scaled to the processor time of this process.
 *
 * @param threads with more than one only the processor time means anything
 */
export async function timeSteps(network: MeasuredNetwork, seconds: number, threads = 1): Promise<StepTimes> {
  const recipe = parseRecipe({
    model: network.model,
    dataset: 'synthetic',
    batchSize: network.batch,
    shardsPerStep: network.shards,
  });
  const dataset = await openDataset(recipe.dataset, { fetchIfMissing: false });
  const kernels = await chooseKernels(recipe.arithmetic);
  const session = await openSession({ recipe, dataset, threads, kernels });
  const { truth, layout } = session;
  try {
    truth.begin(recipe.seed);
    const images: number[] = [];
    const rests: number[] = [];
    let stepBegun = performance.now();
    let processorBegun = 0;
    let wallBegun = 0;
    await sampleSteps(session, { recipe, dataset }, (so, { shards }) => {
      const now = performance.now();
      const busy = shards.reduce((sum, shard) => sum + shard.loadSeconds + shard.computeSeconds, 0);
      if (so.steps === warmUp) [processorBegun, wallBegun] = [processorSeconds(), now];
      if (so.steps > warmUp) {
        images.push(busy / shards.reduce((sum, { samples }) => sum + samples, 0));
        rests.push((now - stepBegun) / 1000 - busy);
      }
      stepBegun = now;
      return images.length >= 3 && so.seconds > seconds;
    });
    const wall = (performance.now() - wallBegun) / 1000;
    const processor = processorSeconds() - processorBegun;
    const own = Math.min(1, processor / wall);
    return {
      parameters: layout.parameterCount,
      totalFloats: layout.totalCount,
      imageSeconds: median(images) * own,
      restSeconds: median(rests) * own,
      processorImageSeconds: processor / (images.length * network.batch),
    };
  } finally {
    await session.close();
  }
}

export interface ReductionCosts {
  readonly reduceByteSeconds: number;
  readonly updateByteSeconds: number;
  readonly stepSeconds: number;
}

/**
 * Pure: takes a step's rest apart. rest = step + bytes * (shards * reduce + update), from two numbers of shards of a
 * large model, and a small model whose bytes hardly count.
 */
export function solveReduction(
  few: { readonly shards: number; readonly seconds: number },
  many: { readonly shards: number; readonly seconds: number },
  bytes: number,
  stepSeconds: number,
): ReductionCosts {
  const reduce = Math.max(0, (many.seconds - few.seconds) / (many.shards - few.shards) / bytes);
  const update = Math.max(0, (few.seconds - stepSeconds) / bytes - few.shards * reduce);
  return { reduceByteSeconds: reduce, updateByteSeconds: update, stepSeconds };
}
