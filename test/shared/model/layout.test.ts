/** The flat vector: order, sizes and first values. */
import { layOut, parameterOf, runningOf } from '@lockstep/shared/model/layout.ts';
import { initialise } from '@lockstep/shared/model/initialisation.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import test from 'ava';
import { assertProperty } from '../../helpers/property.ts';
import { randomModels } from '../../helpers/random-model.ts';
import { sameWords } from '../../helpers/bits.ts';
import { unusualModels, zooModels } from '../../helpers/test-models.ts';
import fc from 'fast-check';

const everyModel = [...zooModels, ...unusualModels];
const resnet20 = buildModel('resnet20', {
  images: { height: 32, width: 32, channels: 3 },
  classes: 10,
  shortcut: 'A',
});

test('parameters lie one behind the other in the order of the layers, then the running statistics', (t) => {
  assertProperty(
    fc.property(fc.oneof(randomModels, fc.constantFrom(...everyModel)), (model) => {
      const layout = layOut(model);
      let top = 0;
      for (const { offset, size, shape } of [...layout.parameters, ...layout.running]) {
        if (offset !== top || size !== shape.reduce((a, b) => a * b, 1)) return false;
        top += size;
      }
      const order = model.layers.map(({ name }) => name);
      const positions = layout.parameters.map(({ layer }) => order.indexOf(layer));
      const sorted = positions.every((p, i) => i === 0 || p >= (positions[i - 1] as number));
      const running = layout.running.reduce((sum, { size }) => sum + size, 0);
      const channels = layout.batchNorms.reduce((sum, norm) => sum + norm.channels, 0);
      return (
        sorted &&
        top === layout.totalCount &&
        layout.totalCount - layout.parameterCount === running &&
        running === 2 * layout.batchNormChannels &&
        channels === layout.batchNormChannels
      );
    }),
  );
  t.pass();
});

test('roles and shapes of each kind of layer', (t) => {
  const lenet = zooModels.find(({ name }) => name === 'lenet5');
  const layout = layOut(lenet ?? resnet20);
  const words = layout.parameters.map(({ layer, role, shape }) => `${layer} ${role} ${shape.join('x')}`);
  t.deepEqual(words, [
    'conv1 weight 5x5x1x6',
    'conv1 bias 6',
    'conv2 weight 5x5x6x16',
    'conv2 bias 16',
    'dense1 weight 400x120',
    'dense1 bias 120',
    'dense2 weight 120x84',
    'dense2 bias 84',
    'logits weight 84x10',
    'logits bias 10',
  ]);
  const deep = layOut(resnet20);
  t.deepEqual(
    deep.parameters.slice(0, 3).map(({ role }) => role),
    ['weight', 'gamma', 'beta'],
  );
  const [stem] = deep.batchNorms;
  t.deepEqual(stem, { layer: 'stem.norm', channels: 16, channel: 0, pixels: 1024 });
  t.is(runningOf(deep, 'stem.norm', 'running-mean').offset, deep.parameterCount);
  t.is(runningOf(deep, 'stem.norm', 'running-variance').offset, deep.parameterCount + 16);
  t.is(parameterOf(deep, 'stem.norm', 'gamma').offset, 432);
  t.throws(() => parameterOf(deep, 'stem.norm', 'bias'));
  t.throws(() => runningOf(deep, 'stem.conv', 'running-mean'));
});

test('first weights: uniform within the bound of He et al., the logits within that of a linear layer', (t) => {
  const layout = layOut(resnet20);
  const flat = initialise(layout, 7);
  t.is(flat.length, layout.totalCount);
  for (const { layer, role, offset, size, shape } of layout.parameters) {
    const values = flat.subarray(offset, offset + size);
    if (role === 'gamma') t.true(values.every((x) => x === 1));
    else if (role !== 'weight') t.true(values.every((x) => x === 0));
    else {
      const fanIn = shape.slice(0, -1).reduce((a, b) => a * b, 1);
      const bound = Math.fround(Math.sqrt((layer === 'logits' ? 1 : 6) / fanIn));
      t.true(
        values.every((x) => Math.abs(x) <= bound),
        layer,
      );
      t.true(Math.max(...values) > 0.95 * bound && Math.min(...values) < -0.95 * bound, layer);
      const mean = values.reduce((a, b) => a + b, 0) / size;
      const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / size;
      // Five standard deviations of the mean, and of the variance, of that many uniform numbers.
      t.true(Math.abs(mean) < (5 * bound) / Math.sqrt(3 * size), layer);
      t.true(Math.abs((3 * variance) / bound ** 2 - 1) < 5 * Math.sqrt(0.8 / size), layer);
      t.is(new Set(values).size > 0.9 * size, true);
    }
  }
  for (const { role, offset, size } of layout.running) {
    const values = flat.subarray(offset, offset + size);
    t.true(values.every((x) => x === (role === 'running-variance' ? 1 : 0)));
  }
});

test('first weights follow from the seed alone', (t) => {
  const layout = layOut(resnet20);
  t.notThrows(() => sameWords(initialise(layout, 3), initialise(layOut(resnet20), 3), 'the same seed'));
  const [a, b] = [initialise(layout, 3), initialise(layout, 4)];
  const weights = layout.parameters.filter(({ role }) => role === 'weight');
  for (const { layer, offset, size } of weights) {
    const equal = a.subarray(offset, offset + size).filter((x, i) => x === b[offset + i]).length;
    t.true(equal < 0.01 * size + 2, layer);
  }
  // Seeds beyond 32 bits count in full.
  t.notDeepEqual(initialise(layout, 3).slice(0, 16), initialise(layout, 3 + 2 ** 32).slice(0, 16));
  // Layers of one shape do not start alike.
  const [one, two] = ['stage1.block1.1.conv', 'stage1.block1.2.conv'].map((layer) => {
    const { offset, size } = parameterOf(layout, layer, 'weight');
    return a.slice(offset, offset + size);
  });
  t.notDeepEqual(one, two);
});
