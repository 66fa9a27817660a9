/** Models as data: the zoo's on small images, and small ones in which fusion has nothing easy to do. */
import { type ImageShape, imagesName, type Layer, type Model } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';

/** A model of hand-written layers. */
export function model(name: string, images: ImageShape, classes: number, layers: readonly Layer[]): Model {
  return { name, title: name, images, classes, layers };
}

/** A square convolution; `bias` or none. */
export function convolution(
  name: string,
  input: string,
  filters: number,
  kernel: number,
  options: { readonly stride?: number; readonly pad?: number; readonly bias?: boolean } = {},
): Layer {
  const { stride = 1, pad = (kernel - 1) >> 1, bias = false } = options;
  return { kind: 'convolution', name, input, filters, kernel, stride, pad, bias };
}

export const relu = (name: string, input: string): Layer => ({ kind: 'relu', name, input });
export const norm = (name: string, input: string): Layer => ({ kind: 'batch-norm', name, input });
export const add = (name: string, input: string, other: string): Layer => ({
  kind: 'add',
  name,
  input,
  other,
});
export const shortcut = (name: string, input: string, filters: number, stride: number): Layer => ({
  kind: 'shortcut',
  name,
  input,
  filters,
  stride,
});
export const pool = (
  kind: 'max-pool' | 'average-pool',
  name: string,
  input: string,
  [kernel, stride, pad]: readonly [number, number, number],
): Layer => ({ kind, name, input, kernel, stride, pad });

/** Global average pooling and one logit per class. */
export function head(input: string, units: number, bias = true): Layer[] {
  return [
    { kind: 'global-average-pool', name: 'pooled', input },
    { kind: 'dense', name: 'logits', input: 'pooled', units, bias },
  ];
}

const small = { height: 8, width: 8, channels: 3 };
const odd = { height: 7, width: 5, channels: 3 };

/** Models of the zoo; `resnet8-A` is resnet8 with shortcut A. */
export const zooModels: readonly Model[] = [
  buildModel('softmax-regression', {
    images: { height: 5, width: 3, channels: 1 },
    classes: 10,
    shortcut: 'A',
  }),
  buildModel('mlp', { images: { height: 4, width: 4, channels: 1 }, classes: 10, shortcut: 'A' }),
  buildModel('lenet5', { images: { height: 28, width: 28, channels: 1 }, classes: 10, shortcut: 'A' }),
  { ...buildModel('resnet8', { images: small, classes: 10, shortcut: 'A' }), name: 'resnet8-A' },
  { ...buildModel('resnet8', { images: small, classes: 10, shortcut: 'B' }), name: 'resnet8-B' },
];

/** Models that no zoo has: every way in which values are shared and passes stay apart. */
export const unusualModels: readonly Model[] = [
  model('average-pool', odd, 3, [
    convolution('c1', imagesName, 5, 3, { bias: true }),
    relu('r1', 'c1'),
    pool('average-pool', 'p1', 'r1', [3, 2, 1]),
    convolution('c2', 'p1', 6, 3),
    ...head('c2', 3),
  ]),
  model('overlapping-max-pool', odd, 3, [
    convolution('c1', imagesName, 6, 3, { bias: true }),
    pool('max-pool', 'p1', 'c1', [3, 2, 1]),
    convolution('c2', 'p1', 5, 3, { stride: 2 }),
    relu('r2', 'c2'),
    ...head('r2', 3, false),
  ]),
  model('unfused-add', odd, 3, [
    convolution('c1', imagesName, 5, 3, { bias: true }),
    relu('r1', 'c1'),
    convolution('c2', 'r1', 5, 3, { bias: true }),
    // Both terms have other readers, and so has the sum.
    add('sum', 'r1', 'c2'),
    relu('r2', 'sum'),
    convolution('c3', 'sum', 5, 3),
    add('again', 'r2', 'c3'),
    add('more', 'again', 'c2'),
    add('last', 'more', 'r1'),
    ...head('last', 3),
  ]),
  model('shared-convolution', odd, 3, [
    // Read by a convolution that pads, a batch-norm, a relu and a sum.
    convolution('c1', imagesName, 6, 3),
    convolution('c2', 'c1', 6, 3),
    norm('n1', 'c1'),
    relu('r1', 'c1'),
    add('s1', 'n1', 'c2'),
    add('s2', 'r1', 'c1'),
    add('s3', 's1', 's2'),
    ...head('s3', 3),
  ]),
  model('two-convolutions-of-one', odd, 3, [
    convolution('c1', imagesName, 6, 3, { bias: true }),
    convolution('c2', 'c1', 4, 3, { stride: 2 }),
    convolution('c3', 'c1', 4, 1, { stride: 2, bias: true }),
    add('sum', 'c2', 'c3'),
    relu('r', 'sum'),
    ...head('r', 3),
  ]),
  model('before-activation', odd, 3, [
    // He et al. 2016: normalised and rectified before the convolution; the sum is read raw as well.
    convolution('stem', imagesName, 6, 3),
    norm('n1', 'stem'),
    relu('r1', 'n1'),
    convolution('c1', 'r1', 6, 3),
    add('s1', 'c1', 'stem'),
    norm('n2', 's1'),
    relu('r2', 'n2'),
    convolution('c2', 'r2', 6, 3),
    convolution('side', 's1', 6, 3),
    add('s2', 'c2', 's1'),
    add('s3', 's2', 'side'),
    ...head('s3', 3),
  ]),
  model('norm-of-pool', odd, 3, [
    convolution('c1', imagesName, 5, 3, { bias: true }),
    pool('max-pool', 'p1', 'c1', [2, 2, 0]),
    norm('n1', 'p1'),
    convolution('c2', 'p1', 5, 3),
    add('s1', 'n1', 'c2'),
    ...head('s1', 3),
  ]),
  model('shortcut-of-first-convolution', odd, 3, [
    convolution('c1', imagesName, 4, 3),
    shortcut('short', 'c1', 6, 2),
    convolution('c2', 'c1', 6, 3, { stride: 2 }),
    add('s1', 'short', 'c2'),
    ...head('s1', 3),
  ]),
  model('no-norm', odd, 3, [
    convolution('c1', imagesName, 7, 3),
    relu('r1', 'c1'),
    convolution('c2', 'r1', 5, 3, { bias: true }),
    convolution('c3', 'c2', 5, 2, { pad: 1 }),
    add('twice', 'c3', 'c3'),
    relu('r3', 'twice'),
    { kind: 'flatten', name: 'flat', input: 'r3' },
    { kind: 'dense', name: 'd1', input: 'flat', units: 9, bias: false },
    relu('r4', 'd1'),
    { kind: 'dense', name: 'logits', input: 'r4', units: 3, bias: true },
  ]),
];
