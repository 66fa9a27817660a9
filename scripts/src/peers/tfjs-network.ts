/** The comparison's residual networks in TensorFlow.js, layer for layer those of `residual-networks.ts`. */
import type { Tensor, Tfjs } from './tfjs-interface.ts';

type Forward = (x: Tensor) => Tensor;

const classes = 10;
/** The library asks for one padding on all sides, and where the stride does not fit, for a rounding. */
const geometry = ['NHWC', 1, 'floor'] as const;

/** Logits of `[n][32][32][3]` images; every weight is a variable of the library. */
export function residualNetwork(tf: Tfjs, model: string): Forward {
  const isLarge = model === 'resnet18';
  const widths = isLarge ? [64, 128, 256, 512] : [16, 32, 64];
  const blocks = isLarge ? 2 : (Number(model.slice('resnet'.length)) - 2) / 6;
  const layers: Forward[] = [unit(tf, 3, widths[0] ?? 0, 3, 1, true)];
  let inputs = widths[0] ?? 0;
  widths.forEach((filters, stage) => {
    for (let block = 0; block < blocks; block++) {
      layers.push(basicBlock(tf, inputs, filters, stage > 0 && block === 0 ? 2 : 1, isLarge));
      inputs = filters;
    }
  });
  const weights = tf.variable(tf.randomNormal([inputs, classes], 0, Math.sqrt(1 / inputs)));
  const bias = tf.variable(tf.zeros([classes]));
  return (images) => {
    const features = layers.reduce((x, layer) => layer(x), images);
    return tf.add(tf.matMul(tf.mean(features, [1, 2]), weights), bias);
  };
}

/** Convolution without bias, batch-norm by the batch's own moments, perhaps a ReLU. */
function unit(
  tf: Tfjs,
  inputs: number,
  filters: number,
  kernel: number,
  stride: number,
  relu: boolean,
): Forward {
  const deviation = Math.sqrt(2 / (kernel * kernel * inputs));
  const weights = tf.variable(tf.randomNormal([kernel, kernel, inputs, filters], 0, deviation));
  const [scale, offset] = [tf.variable(tf.ones([filters])), tf.variable(tf.zeros([filters]))];
  return (x) => {
    const z = tf.conv2d(x, weights, stride, (kernel - 1) / 2, ...geometry);
    const { mean, variance } = tf.moments(z, [0, 1, 2]);
    const y = tf.batchNorm(z, mean, variance, offset, scale, 1e-5);
    return relu ? tf.relu(y) : y;
  };
}

function basicBlock(tf: Tfjs, inputs: number, filters: number, stride: number, projected: boolean): Forward {
  const first = unit(tf, inputs, filters, 3, stride, true);
  const second = unit(tf, filters, filters, 3, 1, false);
  let shortcut: Forward = (x) => x;
  if (stride !== 1 || inputs !== filters) {
    const zeroChannels: Forward = (x) => {
      // A pool of one pixel is a subsampling that has a gradient in this library.
      const sampled = tf.avgPool(x, 1, stride, 'valid');
      return tf.pad(sampled, [...[0, 1, 2].map(() => [0, 0] as const), [0, filters - inputs]]);
    };
    shortcut = projected ? unit(tf, inputs, filters, 1, stride, false) : zeroChannels;
  }
  return (x) => tf.relu(tf.add(second(first(x)), shortcut(x)));
}
