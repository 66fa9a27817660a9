/**
 * Where every parameter and running statistic lies in the flat vector: parameters first, one behind the
 * other in the order of the layers, then running means and variances. Checkpoints, hashes, gradients and
 * slices all use this one order.
 */
import { inferShapes } from './shapes.ts';
import { fuseLayers } from './stages.ts';
import type { Model } from './spec.ts';

export type ParameterRole = 'weight' | 'bias' | 'gamma' | 'beta';
export type RunningRole = 'running-mean' | 'running-variance';

export interface LayoutEntry<Role> {
  readonly layer: string;
  readonly role: Role;
  /** Convolution `[KH][KW][IC][OC]`, dense `[in][out]`, else `[C]`. */
  readonly shape: readonly number[];
  /** In floats from the start of the flat vector. */
  readonly offset: number;
  readonly size: number;
}

export interface Layout {
  readonly parameters: readonly LayoutEntry<ParameterRole>[];
  readonly running: readonly LayoutEntry<RunningRole>[];
  /** Floats of the parameters: also the length of a gradient. */
  readonly parameterCount: number;
  /** Floats of the parameters and the running statistics together. */
  readonly totalCount: number;
  /** Batch-norm layers in order; `channel` counts the batch-norm channels before each. */
  readonly batchNorms: readonly {
    readonly layer: string;
    readonly channels: number;
    readonly channel: number;
    /** Pixels of one image of its input. */
    readonly pixels: number;
  }[];
  /** Batch-norm channels of all layers. */
  readonly batchNormChannels: number;
  /** The batch-norm layers in the order in which the forward pass comes to them: that of the points in mode `sync`. */
  readonly syncLayers: Layout['batchNorms'];
}

/** Lays out a model. @throws LockstepError MODEL_INVALID */
export function layOut(model: Model): Layout {
  const shapes = inferShapes(model);
  const parameters: LayoutEntry<ParameterRole>[] = [];
  const running: LayoutEntry<RunningRole>[] = [];
  const batchNorms: { layer: string; channels: number; channel: number; pixels: number }[] = [];
  let top = 0;
  const place = <Role>(
    list: LayoutEntry<Role>[],
    layer: string,
    role: Role,
    shape: readonly number[],
  ): void => {
    const size = shape.reduce((a, b) => a * b, 1);
    list.push({ layer, role, shape, offset: top, size });
    top += size;
  };
  let batchNormChannels = 0;
  for (const layer of model.layers) {
    const { channels = 0, height = 0, width = 0 } = shapes.get(layer.input) ?? {};
    if (layer.kind === 'convolution') {
      place(parameters, layer.name, 'weight', [layer.kernel, layer.kernel, channels, layer.filters]);
      if (layer.bias) place(parameters, layer.name, 'bias', [layer.filters]);
    } else if (layer.kind === 'dense') {
      place(parameters, layer.name, 'weight', [channels, layer.units]);
      if (layer.bias) place(parameters, layer.name, 'bias', [layer.units]);
    } else if (layer.kind === 'batch-norm') {
      place(parameters, layer.name, 'gamma', [channels]);
      place(parameters, layer.name, 'beta', [channels]);
      batchNorms.push({ layer: layer.name, channels, channel: batchNormChannels, pixels: height * width });
      batchNormChannels += channels;
    }
  }
  const parameterCount = top;
  for (const { layer, channels } of batchNorms) {
    place(running, layer, 'running-mean', [channels]);
    place(running, layer, 'running-variance', [channels]);
  }
  const syncLayers = fuseLayers(model).flatMap((stage) =>
    stage.kind === 'batch-norm' ? batchNorms.filter(({ layer }) => layer === stage.norm) : [],
  );
  return { parameters, running, parameterCount, totalCount: top, batchNorms, batchNormChannels, syncLayers };
}

/** The entry of one parameter. */
export function parameterOf(layout: Layout, layer: string, role: ParameterRole): LayoutEntry<ParameterRole> {
  const found = layout.parameters.find((entry) => entry.layer === layer && entry.role === role);
  if (!found) throw new Error(`no ${role} of layer ${layer}`);
  return found;
}

/** The entry of one running statistic. */
export function runningOf(layout: Layout, layer: string, role: RunningRole): LayoutEntry<RunningRole> {
  const found = layout.running.find((entry) => entry.layer === layer && entry.role === role);
  if (!found) throw new Error(`no ${role} of layer ${layer}`);
  return found;
}
