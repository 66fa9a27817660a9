/** The models that come with Lockstep, by name. */
import { LockstepError } from '../base/errors.ts';
import { nearestKey } from '../base/nearest-key.ts';
import { cifarResidualNetwork, residualNetwork18 } from './residual-networks.ts';
import { type ImageShape, imagesName, type Model } from './spec.ts';

export interface ModelOptions {
  readonly images: ImageShape;
  readonly classes: number;
  /** Where a residual block changes shape: zero channels (A) or a 1x1 convolution (B). */
  readonly shortcut: 'A' | 'B';
}

type Builder = (options: ModelOptions) => Omit<Model, 'images' | 'classes' | 'name'>;

const zoo: Readonly<Record<string, Builder>> = {
  'softmax-regression': ({ classes }) => ({
    title: 'Softmax regression',
    layers: [
      { kind: 'flatten', name: 'flatten', input: imagesName },
      { kind: 'dense', name: 'logits', input: 'flatten', units: classes, bias: true },
    ],
  }),
  mlp: ({ classes }) => ({
    title: 'Multilayer perceptron, two hidden layers of 256',
    layers: [
      { kind: 'flatten', name: 'flatten', input: imagesName },
      { kind: 'dense', name: 'dense1', input: 'flatten', units: 256, bias: true },
      { kind: 'relu', name: 'relu1', input: 'dense1' },
      { kind: 'dense', name: 'dense2', input: 'relu1', units: 256, bias: true },
      { kind: 'relu', name: 'relu2', input: 'dense2' },
      { kind: 'dense', name: 'logits', input: 'relu2', units: classes, bias: true },
    ],
  }),
  // LeCun et al. 1998, with ReLU and max pooling as it is trained today.
  lenet5: ({ classes }) => ({
    title: 'LeNet-5 (LeCun et al. 1998), ReLU and max pooling',
    layers: [
      convolution('conv1', imagesName, 6, 2),
      { kind: 'relu', name: 'relu1', input: 'conv1' },
      { kind: 'max-pool', name: 'pool1', input: 'relu1', kernel: 2, stride: 2, pad: 0 },
      convolution('conv2', 'pool1', 16, 0),
      { kind: 'relu', name: 'relu2', input: 'conv2' },
      { kind: 'max-pool', name: 'pool2', input: 'relu2', kernel: 2, stride: 2, pad: 0 },
      { kind: 'flatten', name: 'flatten', input: 'pool2' },
      { kind: 'dense', name: 'dense1', input: 'flatten', units: 120, bias: true },
      { kind: 'relu', name: 'relu3', input: 'dense1' },
      { kind: 'dense', name: 'dense2', input: 'relu3', units: 84, bias: true },
      { kind: 'relu', name: 'relu4', input: 'dense2' },
      { kind: 'dense', name: 'logits', input: 'relu4', units: classes, bias: true },
    ],
  }),
  resnet8: (options) => cifarResidualNetwork(8, options),
  resnet14: (options) => cifarResidualNetwork(14, options),
  resnet20: (options) => cifarResidualNetwork(20, options),
  resnet32: (options) => cifarResidualNetwork(32, options),
  resnet44: (options) => cifarResidualNetwork(44, options),
  resnet56: (options) => cifarResidualNetwork(56, options),
  resnet18: (options) => residualNetwork18(options),
};

function convolution(name: string, input: string, filters: number, pad: number) {
  return { kind: 'convolution', name, input, filters, kernel: 5, stride: 1, pad, bias: true } as const;
}

export const modelNames: readonly string[] = Object.keys(zoo);

/** Refuses a name that no model has. @throws LockstepError MODEL_UNKNOWN with the nearest name */
export function checkModelName(name: string): void {
  if (Object.hasOwn(zoo, name)) return;
  const nearest = nearestKey(name, modelNames);
  throw new LockstepError(
    'MODEL_UNKNOWN',
    `There is no model '${name.slice(0, 80)}'.`,
    nearest === null ? `The models are: ${modelNames.join(', ')}.` : `Did you mean '${nearest}'?`,
    { model: name, nearest, models: modelNames },
  );
}

/**
 * Builds a model for images of a size and a number of classes.
 *
 * @throws LockstepError MODEL_UNKNOWN with the nearest name; MODEL_INVALID (from the compiler) when the
 *   images are too small for it
 */
export function buildModel(name: string, options: ModelOptions): Model {
  checkModelName(name);
  const builder = zoo[name] as Builder;
  return { name, images: options.images, classes: options.classes, ...builder(options) };
}
