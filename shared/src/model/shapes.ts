/** Shape inference: checks a model and says what every layer gives. */
import { LockstepError } from '../base/errors.ts';
import { outputSize } from '../kernels/convolution-geometry.ts';
import { type ImageShape, imagesName, type Layer, type Model } from './spec.ts';

/** Shapes by layer name, with the images under `imagesName`. */
export type Shapes = ReadonlyMap<string, ImageShape>;

/**
 * The shape of every layer of a model.
 *
 * @throws LockstepError MODEL_INVALID naming the layer: unknown input, twice the same name, an empty
 *   output, sums of different shapes, padding as large as the kernel, logits that are not one per class
 */
export function inferShapes(model: Model): Shapes {
  const shapes = new Map<string, ImageShape>([[imagesName, model.images]]);
  for (const layer of model.layers) {
    const input = shapes.get(layer.input);
    if (!input) throw invalid(model, layer, `reads '${layer.input}', which does not come before it`);
    if (shapes.has(layer.name)) throw invalid(model, layer, 'has a name that is taken');
    const output = outputShape(model, layer, input, shapes);
    if (Object.values(output).some((size) => !Number.isInteger(size) || size < 1)) {
      throw invalid(model, layer, `gives ${inWords(output)} from ${inWords(input)}`);
    }
    shapes.set(layer.name, output);
  }
  const last = model.layers.at(-1);
  const logits = last && shapes.get(last.name);
  if (!last || !logits || logits.height * logits.width !== 1 || logits.channels !== model.classes) {
    throw new LockstepError(
      'MODEL_INVALID',
      `Model '${model.name}' ends in ${logits ? inWords(logits) : 'nothing'}, not in one logit for each of ${model.classes} classes.`,
      'End it with a dense layer of that many units.',
    );
  }
  return shapes;
}

/**
 * Refuses a model with a value that nobody reads: it would be computed for nothing and has no gradient.
 *
 * @throws LockstepError MODEL_INVALID naming the layer
 */
export function refuseUnread(model: Model): void {
  const read = new Set(model.layers.flatMap((l) => (l.kind === 'add' ? [l.input, l.other] : [l.input])));
  const unread = model.layers.slice(0, -1).find(({ name }) => !read.has(name));
  if (unread) throw invalid(model, unread, 'is read by no layer');
}

function outputShape(model: Model, layer: Layer, input: ImageShape, shapes: Shapes): ImageShape {
  const { height, width, channels } = input;
  switch (layer.kind) {
    case 'convolution':
    case 'max-pool':
    case 'average-pool': {
      const { kernel, stride, pad } = layer;
      const whole = [kernel, stride, pad].every(Number.isInteger);
      if (!(whole && kernel >= 1 && stride >= 1 && pad >= 0 && pad < kernel)) {
        throw invalid(model, layer, `has kernel ${kernel}, stride ${stride}, padding ${pad}`);
      }
      return {
        height: outputSize(height, kernel, stride, pad),
        width: outputSize(width, kernel, stride, pad),
        channels: layer.kind === 'convolution' ? layer.filters : channels,
      };
    }
    case 'batch-norm':
    case 'relu':
      return input;
    case 'add': {
      const other = shapes.get(layer.other);
      if (!other || inWords(other) !== inWords(input)) {
        throw invalid(model, layer, `adds ${inWords(input)} and ${other ? inWords(other) : 'nothing'}`);
      }
      return input;
    }
    case 'global-average-pool':
      return { height: 1, width: 1, channels };
    case 'flatten':
      return { height: 1, width: 1, channels: height * width * channels };
    case 'dense':
      if (height * width !== 1) throw invalid(model, layer, `reads ${inWords(input)}, which is not flat`);
      return { height: 1, width: 1, channels: layer.units };
    case 'shortcut':
      if (layer.filters < channels)
        throw invalid(model, layer, `cannot drop ${channels - layer.filters} channels`);
      if (!(Number.isInteger(layer.stride) && layer.stride >= 1))
        throw invalid(model, layer, `has stride ${layer.stride}`);
      return {
        height: Math.ceil(height / layer.stride),
        width: Math.ceil(width / layer.stride),
        channels: layer.filters,
      };
  }
}

/** `32x32x16` */
export function inWords(shape: ImageShape): string {
  return `${shape.height}x${shape.width}x${shape.channels}`;
}

function invalid(model: Model, layer: Layer, what: string): LockstepError {
  return new LockstepError(
    'MODEL_INVALID',
    `Layer '${layer.name}' of model '${model.name}' ${what}.`,
    'Correct the model, or take a data set whose images it fits.',
    { model: model.name, layer: layer.name },
  );
}
