/**
 * Fusion: layers become stages, each of which is one pass over memory. A batch-norm takes up the sum and
 * the ReLU behind it; a convolution or dense layer leaves its bias and ReLU to one `bias` stage.
 */
import type { Shapes } from './shapes.ts';
import type { ConvolutionLayer, DenseLayer, ImageShape, Layer, Model, PoolLayer } from './spec.ts';

interface Pass {
  /** The layer whose value the stage gives: the last one fused into it. */
  readonly output: string;
  readonly input: string;
  /** For people: the layers fused. */
  readonly label: string;
}

export type Stage =
  | (Pass & { readonly kind: 'convolution'; readonly layer: ConvolutionLayer })
  | (Pass & { readonly kind: 'dense'; readonly layer: DenseLayer })
  | (Pass & {
      readonly kind: 'batch-norm';
      readonly norm: string;
      readonly residual: string | null;
      readonly relu: boolean;
    })
  | (Pass & { readonly kind: 'bias'; readonly owner: string; readonly relu: boolean })
  | (Pass & { readonly kind: 'relu' })
  | (Pass & { readonly kind: 'add'; readonly other: string; readonly relu: boolean })
  | (Pass & { readonly kind: 'max-pool' | 'average-pool'; readonly layer: PoolLayer })
  | (Pass & { readonly kind: 'global-average-pool' | 'flatten' })
  | (Pass & { readonly kind: 'shortcut'; readonly stride: number });

/** A stage of one kind. */
export type StageOf<K extends Stage['kind']> = Extract<Stage, { kind: K }>;

/** Names of the raw outputs of convolutions and dense layers that have a bias: before the bias is added. */
export function rawName(layer: string): string {
  return `${layer}:raw`;
}

/** Turns layers into stages, in an order in which every stage comes after its inputs. */
export function fuseLayers(model: Model): Stage[] {
  const readers = new Map<string, Layer[]>();
  for (const layer of model.layers) {
    for (const name of layer.kind === 'add' ? [layer.input, layer.other] : [layer.input]) {
      readers.set(name, [...(readers.get(name) ?? []), layer]);
    }
  }
  const position = new Map(model.layers.map((layer, i) => [layer.name, i]));
  const taken = new Set<string>();
  /** The only reader of a layer if it is of a kind and not yet part of a stage. */
  const soleReader = <K extends Layer['kind']>(name: string, kind: K): Extract<Layer, { kind: K }> | null => {
    const all = readers.get(name) ?? [];
    const only = all.length === 1 ? all[0] : undefined;
    return only?.kind === kind && !taken.has(only.name) ? (only as Extract<Layer, { kind: K }>) : null;
  };
  const stages: { at: number; stage: Stage }[] = [];
  /** A stage stands where the last of its layers stood, so its other inputs are there. */
  const push = (stage: Stage): void => {
    stages.push({ at: position.get(stage.output.replace(/:raw$/, '')) ?? 0, stage });
  };
  for (const layer of model.layers) {
    if (taken.has(layer.name)) continue;
    const { name, input } = layer;
    if (layer.kind === 'convolution' || layer.kind === 'dense') {
      const output = layer.bias ? rawName(name) : name;
      push({ kind: layer.kind, output, input, label: name, layer } as Stage);
      if (layer.bias) {
        const relu = soleReader(name, 'relu');
        if (relu) taken.add(relu.name);
        const last = relu?.name ?? name;
        push({ kind: 'bias', output: last, input: output, label: `${name} bias`, owner: name, relu: !!relu });
      }
    } else if (layer.kind === 'batch-norm') {
      const add = soleReader(name, 'add');
      if (add) taken.add(add.name);
      const relu = soleReader(add?.name ?? name, 'relu');
      if (relu) taken.add(relu.name);
      const residual = add ? (add.input === name ? add.other : add.input) : null;
      const label = [name, ...(add ? ['add'] : []), ...(relu ? ['relu'] : [])].join(' + ');
      const output = relu?.name ?? add?.name ?? name;
      push({ kind: 'batch-norm', output, input, label, norm: name, residual, relu: !!relu });
    } else if (layer.kind === 'add') {
      const relu = soleReader(name, 'relu');
      if (relu) taken.add(relu.name);
      const output = relu?.name ?? name;
      push({ kind: 'add', output, input, label: name, other: layer.other, relu: !!relu });
    } else if (layer.kind === 'max-pool' || layer.kind === 'average-pool') {
      push({ kind: layer.kind, output: name, input, label: name, layer });
    } else if (layer.kind === 'shortcut') {
      push({ kind: 'shortcut', output: name, input, label: name, stride: layer.stride });
    } else {
      push({ kind: layer.kind, output: name, input, label: name });
    }
  }
  return stages.toSorted((a, b) => a.at - b.at).map(({ stage }) => stage);
}

/** Shape of a stage's input or output; raw outputs have the shape of their layer. */
export function shapeOf(shapes: Shapes, name: string): ImageShape {
  const shape = shapes.get(name.replace(/:raw$/, ''));
  if (!shape) throw new Error(`no layer ${name}`);
  return shape;
}
