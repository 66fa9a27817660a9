/** The networks that are predicted: how large their gradients are and how much there is to compute. */
import { planModel } from '@lockstep/coordinator/plan/program-table.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { describeDataset } from '@lockstep/worker/data/catalogue.ts';
import type { Costs } from './cluster-shape.ts';
import type { PartTiming } from './measure/backward-timing.ts';

export interface Workload {
  readonly name: string;
  readonly title: string;
  /** Floats of the gradient, and of weights with running statistics. */
  readonly parameters: number;
  readonly totalFloats: number;
  /** Multiply-adds of one image forward; a training step takes about three times as many. */
  readonly multiplyAdds: number;
  /** When the parts of its gradient are final. */
  readonly parts: readonly PartTiming[];
  readonly note: string;
}

/** He et al. 2015, table 1; 53 batch-norm layers of 26,560 channels in all. */
export function resnet50(measured: Workload): Workload {
  const parameters = 25_557_032;
  const scale = parameters / measured.parameters;
  return {
    name: 'resnet50',
    title: 'ResNet-50 at 224x224',
    parameters,
    totalFloats: parameters + 2 * 26_560,
    multiplyAdds: 4.09e9,
    parts: measured.parts.map(({ floats, finalAt }) => ({ floats: floats * scale, finalAt })),
    note: `only its sizes are used, because the zoo has no ResNet-50: an image takes as much longer as it has more multiply-adds, and its gradient becomes final as that of ${measured.title} does`,
  };
}

/** A model of the zoo on 32x32 images, with the sizes that were measured and the work of its compiled program. */
export function zooWorkload(
  name: string,
  measured: Pick<Workload, 'parameters' | 'totalFloats' | 'parts'>,
): Workload {
  const recipe = parseRecipe({ model: name, dataset: 'synthetic', batchSize: 8, shardsPerStep: 1 });
  const data = describeDataset(recipe.dataset);
  const { rows, shardSize, model } = planModel({ recipe, data, threads: 1, measure: null });
  // Convolutions and products: everything else is small, and counted differently by everybody.
  const flops = rows
    .filter(({ section, group }) => section === 'forward' && /convolution|matmul|product/.test(group))
    .reduce((sum, row) => sum + row.flops, 0);
  const { parameters, totalFloats, parts } = measured;
  return {
    name,
    title: `${model} at ${data.height}x${data.width}`,
    parameters,
    totalFloats,
    multiplyAdds: flops / 2 / shardSize,
    parts,
    note: 'sizes and work of the compiled program',
  };
}

/** Costs of a workload on the machine on which another one was measured. */
export function costsFor(workload: Workload, measured: Workload, costs: Costs): Costs {
  return { ...costs, imageSeconds: costs.imageSeconds * (workload.multiplyAdds / measured.multiplyAdds) };
}
