/** The zoo: sizes against the papers and against arithmetic of the test's own, and what is refused. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import { inferShapes } from '@lockstep/shared/model/shapes.ts';
import { type ImageShape, imagesName, type Layer, type Model } from '@lockstep/shared/model/spec.ts';
import { buildModel, modelNames } from '@lockstep/shared/model/zoo.ts';
import test from 'ava';
import { add, convolution, head, model, pool, relu, shortcut } from '../../helpers/test-models.ts';

const cifar: ImageShape = { height: 32, width: 32, channels: 3 };
const mnist: ImageShape = { height: 28, width: 28, channels: 1 };

const build = (name: string, images = cifar, shortcutKind: 'A' | 'B' = 'A', classes = 10): Model =>
  buildModel(name, { images, classes, shortcut: shortcutKind });
const parametersOf = (built: Model): number => layOut(built).parameterCount;

/** A convolution without bias and its batch-norm. */
const unit = (kernel: number, from: number, to: number): number => kernel * kernel * from * to + 2 * to;

/** Section 4.2 of the paper, counted by hand: 6n + 2 layers of 16, 32 and 64 channels. */
function cifarParameters(depth: number, kind: 'A' | 'B'): number {
  const n = (depth - 2) / 6;
  const same = (c: number) => 2 * unit(3, c, c);
  const first = (c: number) => unit(3, c / 2, c) + unit(3, c, c) + (kind === 'B' ? unit(1, c / 2, c) : 0);
  const stages = n * same(16) + first(32) + (n - 1) * same(32) + first(64) + (n - 1) * same(64);
  return unit(3, 3, 16) + stages + 64 * 10 + 10;
}

for (const [depth, millions] of [
  [20, 0.27],
  [32, 0.46],
  [44, 0.66],
  [56, 0.85],
] as const) {
  test(`resnet${depth} has the parameters and the depth of the paper`, (t) => {
    const built = build(`resnet${depth}`);
    t.is(parametersOf(built), cifarParameters(depth, 'A'));
    t.is(parametersOf(build(`resnet${depth}`, cifar, 'B')), cifarParameters(depth, 'B'));
    t.true(Math.abs(parametersOf(built) / 1e6 - millions) < 0.01, 'table 6');
    const weighty = built.layers.filter(({ kind }) => kind === 'convolution' || kind === 'dense');
    t.is(weighty.length, depth);
    t.is(built.layers.filter(({ kind }) => kind === 'add').length, (depth - 2) / 2);
  });
}

test('known parameter counts', (t) => {
  t.is(parametersOf(build('resnet20')), 269_722);
  t.is(parametersOf(build('resnet8')), cifarParameters(8, 'A'));
  t.is(parametersOf(build('resnet14')), cifarParameters(14, 'A'));
  t.is(parametersOf(build('lenet5', mnist)), 61_706);
  t.is(parametersOf(build('softmax-regression', mnist)), 7850);
  t.is(parametersOf(build('mlp', mnist)), 784 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10);
  // torchvision's ResNet-18, whose stem is 7x7 and which has 1000 classes.
  t.is(parametersOf(build('resnet18', { height: 224, width: 224, channels: 3 }, 'B', 1000)), 11_689_512);
  // The same with a 3x3 stem and 10 classes, as it is trained on CIFAR-10.
  t.is(parametersOf(build('resnet18', cifar)), 11_173_962);
});

test('stages halve the image and double the channels', (t) => {
  const shapes = inferShapes(build('resnet20'));
  t.deepEqual(shapes.get('stage1.block3.out'), { height: 32, width: 32, channels: 16 });
  t.deepEqual(shapes.get('stage2.block1.out'), { height: 16, width: 16, channels: 32 });
  t.deepEqual(shapes.get('stage3.block3.out'), { height: 8, width: 8, channels: 64 });
  const large = inferShapes(build('resnet18', { height: 224, width: 224, channels: 3 }));
  t.deepEqual(large.get('stage1.block2.out'), { height: 56, width: 56, channels: 64 });
  t.deepEqual(large.get('stage4.block2.out'), { height: 7, width: 7, channels: 512 });
});

test('every model of the zoo compiles for colour and for grey images', (t) => {
  for (const name of modelNames) {
    for (const images of [cifar, mnist]) {
      const program = compileProgram(build(name, images), 'train', 2, { batchNormEpsilon: 1e-5 });
      t.true(program.backward.length > 0, name);
    }
  }
});

test('an unknown model suggests the nearest name', (t) => {
  const near = t.throws(() => build('resnet-20'), { instanceOf: LockstepError });
  t.is(near.code, 'MODEL_UNKNOWN');
  t.is(near.values['nearest'], 'resnet20');
  t.regex(near.message, /Did you mean 'resnet20'\?/);
  for (const name of ['transformer-xl-huge', 'constructor', '__proto__', '']) {
    const far = t.throws(() => build(name), { instanceOf: LockstepError });
    t.is(far.code, 'MODEL_UNKNOWN', name);
  }
});

const images = { height: 6, width: 6, channels: 2 };
const invalidModels: readonly (readonly [what: string, layers: readonly Layer[], says: RegExp])[] = [
  ['reads what is not there', [relu('r', 'ghost'), ...head('r', 3)], /'r'.*reads 'ghost'/],
  ['reads what comes later', [relu('r', 'pooled'), ...head('r', 3)], /reads 'pooled'/],
  ['a name twice', [relu('r', imagesName), relu('r', 'r'), ...head('r', 3)], /name that is taken/],
  ['a layer named images', [relu(imagesName, imagesName), ...head(imagesName, 3)], /name that is taken/],
  [
    'a window larger than its input',
    [convolution('c', imagesName, 3, 7, { pad: 0 }), ...head('c', 3)],
    /'c'/,
  ],
  ['no filters', [convolution('c', imagesName, 0, 3), ...head('c', 3)], /'c'/],
  ['half a filter', [convolution('c', imagesName, 1.5, 3), ...head('c', 3)], /'c'/],
  [
    'padding as large as the kernel',
    [pool('max-pool', 'p', imagesName, [2, 2, 2]), ...head('p', 3)],
    /padding 2/,
  ],
  ['stride 0', [convolution('c', imagesName, 3, 3, { stride: 0 }), ...head('c', 3)], /stride 0/],
  [
    'a sum of different shapes',
    [convolution('c', imagesName, 3, 3), add('s', 'c', imagesName), ...head('s', 3)],
    /adds 6x6x3 and 6x6x2/,
  ],
  [
    'a shortcut that drops channels',
    [shortcut('s', imagesName, 1, 1), ...head('s', 3)],
    /cannot drop 1 channel/,
  ],
  [
    'dense on an image',
    [{ kind: 'dense', name: 'd', input: imagesName, units: 3, bias: true }],
    /6x6x2, which is not flat/,
  ],
  ['other logits than classes', head(imagesName, 4), /one logit for each of 3 classes/],
  ['nothing at all', [], /ends in nothing/],
  [
    'padding behind a shortcut',
    [shortcut('s', imagesName, 2, 1), convolution('c', 's', 3, 3), ...head('c', 3)],
    /'c'/,
  ],
  ['a value that nobody reads', [convolution('c', imagesName, 3, 3), ...head(imagesName, 3)], /'c'/],
  [
    'numbers that are none',
    [convolution('c', imagesName, 3, Number.NaN, { pad: 0 }), ...head('c', 3)],
    /'c'.*kernel NaN/,
  ],
  ['half a stride', [convolution('c', imagesName, 3, 3, { stride: 1.5 }), ...head('c', 3)], /stride 1.5/],
  ['a shortcut of stride 0', [shortcut('s', imagesName, 2, 0), ...head('s', 3)], /'s'/],
  [
    'half a pixel of padding',
    [convolution('c', imagesName, 3, 3, { pad: 0.5 }), ...head('c', 3)],
    /padding 0.5/,
  ],
];

for (const [what, layers, says] of invalidModels) {
  test(`an invalid model is refused: ${what}`, (t) => {
    const invalid = model('invalid', images, 3, layers);
    const compile = () => compileProgram(invalid, 'train', 2, { batchNormEpsilon: 1e-5 });
    const error = t.throws(compile, { instanceOf: LockstepError });
    t.is(error.code, 'MODEL_INVALID');
    t.is(error.exitCode, 2);
    t.regex(error.message, says);
  });
}
