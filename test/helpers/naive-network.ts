/**
 * A model evaluated layer by layer in float64, straight from its definition: no stages, no halos, no memory plan,
 * no kernels. What the compiler makes of a model is compared with it.
 */
import { layOut, parameterOf, runningOf } from '@lockstep/shared/model/layout.ts';
import { inferShapes } from '@lockstep/shared/model/shapes.ts';
import { type ImageShape, imagesName, type Layer, type Model } from '@lockstep/shared/model/spec.ts';

/** Values `[N][H][W][C]`. */
export interface NaiveValue extends ImageShape {
  readonly data: Float64Array;
}

export interface NaiveOptions {
  readonly epsilon: number;
  /** `train`: batch-norms use the batch's own moments; `evaluate`: the running statistics. */
  readonly mode: 'train' | 'evaluate';
}

export interface NaiveRun {
  readonly lossSum: number;
  readonly correct: number;
  /** By layer name, and the images under `imagesName`. */
  readonly values: ReadonlyMap<string, NaiveValue>;
}

/** Mean and sum of squared deviations of one channel, in two passes. */
export function channelMoments(values: readonly NaiveValue[], channel: number): [number, number] {
  const all = values.flatMap(({ data, channels }) =>
    Array.from({ length: data.length / channels }, (_, i) => data[i * channels + channel] as number),
  );
  const mean = all.reduce((a, b) => a + b, 0) / all.length;
  return [mean, all.reduce((sum, x) => sum + (x - mean) ** 2, 0)];
}

/** Runs a model forward on `[N][H][W][C]` pixels. */
export function runNaively(
  model: Model,
  weights: ArrayLike<number>,
  pixels: Float64Array,
  labels: readonly number[],
  options: NaiveOptions,
): NaiveRun {
  const values = new Map<string, NaiveValue>([[imagesName, { ...model.images, data: pixels }]]);
  const network = new Network(model, weights, labels.length, options, values);
  for (const layer of model.layers) values.set(layer.name, network.layer(layer));
  const logits = values.get(model.layers.at(-1)?.name ?? '') as NaiveValue;
  let lossSum = 0;
  let correct = 0;
  labels.forEach((label, n) => {
    const row = [...logits.data.subarray(n * model.classes, (n + 1) * model.classes)];
    const largest = Math.max(...row);
    const sum = row.reduce((total, x) => total + Math.exp(x - largest), 0);
    lossSum += largest + Math.log(sum) - (row[label] as number);
    if (row.indexOf(largest) === label) correct++;
  });
  return { lossSum, correct, values };
}

class Network {
  private readonly weights: ArrayLike<number>;
  private readonly n: number;
  private readonly options: NaiveOptions;
  private readonly values: ReadonlyMap<string, NaiveValue>;
  private readonly layout;
  private readonly shapes;

  constructor(
    model: Model,
    weights: ArrayLike<number>,
    n: number,
    options: NaiveOptions,
    values: ReadonlyMap<string, NaiveValue>,
  ) {
    this.weights = weights;
    this.n = n;
    this.options = options;
    this.values = values;
    this.layout = layOut(model);
    this.shapes = inferShapes(model);
  }

  layer(layer: Layer): NaiveValue {
    const x = this.value(layer.input);
    const shape = this.shapes.get(layer.name) as ImageShape;
    switch (layer.kind) {
      case 'convolution': {
        const { kernel: K, stride, pad } = layer;
        const w = this.parameter(layer.name, 'weight');
        const bias = layer.bias ? this.parameter(layer.name, 'bias') : () => 0;
        return this.make(shape, (n, y, ox, oc) => {
          let sum = bias(oc);
          for (let kh = 0; kh < K; kh++) {
            for (let kw = 0; kw < K; kw++) {
              for (let ic = 0; ic < x.channels; ic++) {
                const value = at(x, n, y * stride + kh - pad, ox * stride + kw - pad, ic) ?? 0;
                sum += value * w(((kh * K + kw) * x.channels + ic) * shape.channels + oc);
              }
            }
          }
          return sum;
        });
      }
      case 'dense': {
        const w = this.parameter(layer.name, 'weight');
        const bias = layer.bias ? this.parameter(layer.name, 'bias') : () => 0;
        return this.make(shape, (n, _y, _x, unit) => {
          let sum = bias(unit);
          for (let i = 0; i < x.channels; i++) sum += (at(x, n, 0, 0, i) ?? 0) * w(i * layer.units + unit);
          return sum;
        });
      }
      case 'batch-norm':
        return this.batchNorm(layer.name, x);
      case 'relu':
        return { ...x, data: x.data.map((v) => Math.max(v, 0)) };
      case 'add': {
        const other = this.value(layer.other);
        return { ...x, data: x.data.map((v, i) => v + (other.data[i] as number)) };
      }
      case 'max-pool':
      case 'average-pool': {
        const { kernel: K, stride, pad } = layer;
        return this.make(shape, (n, y, ox, c) => {
          const cells: number[] = [];
          for (let i = 0; i < K * K; i++) {
            const h = y * stride - pad + Math.floor(i / K);
            const value = at(x, n, h, ox * stride - pad + (i % K), c);
            if (value !== undefined) cells.push(value);
          }
          const sum = cells.reduce((a, b) => a + b, 0);
          return layer.kind === 'max-pool' ? Math.max(...cells) : sum / cells.length;
        });
      }
      case 'global-average-pool': {
        const pixels = x.height * x.width;
        return this.make(shape, (n, _y, _x, c) => {
          let sum = 0;
          for (let i = 0; i < pixels; i++) sum += x.data[(n * pixels + i) * x.channels + c] as number;
          return sum / pixels;
        });
      }
      case 'flatten':
        return { ...shape, data: x.data };
      case 'shortcut':
        return this.make(shape, (n, y, ox, c) =>
          c < x.channels ? (at(x, n, y * layer.stride, ox * layer.stride, c) ?? 0) : 0,
        );
    }
  }

  private batchNorm(name: string, x: NaiveValue): NaiveValue {
    const gamma = this.parameter(name, 'gamma');
    const beta = this.parameter(name, 'beta');
    const statistics = Array.from({ length: x.channels }, (_, c) => {
      if (this.options.mode === 'train') {
        const [mean, m2] = channelMoments([x], c);
        return { mean, variance: (m2 / x.data.length) * x.channels };
      }
      const running = (role: 'running-mean' | 'running-variance') =>
        this.weights[runningOf(this.layout, name, role).offset + c] as number;
      return { mean: running('running-mean'), variance: running('running-variance') };
    });
    const data = x.data.map((v, i) => {
      const c = i % x.channels;
      const { mean, variance } = statistics[c] as { mean: number; variance: number };
      return ((v - mean) / Math.sqrt(variance + this.options.epsilon)) * gamma(c) + beta(c);
    });
    return { ...x, data };
  }

  private value(name: string): NaiveValue {
    return this.values.get(name) as NaiveValue;
  }

  private parameter(layer: string, role: 'weight' | 'bias' | 'gamma' | 'beta') {
    const { offset } = parameterOf(this.layout, layer, role);
    return (i: number) => this.weights[offset + i] as number;
  }

  private make(shape: ImageShape, element: (n: number, y: number, x: number, c: number) => number) {
    const { height, width, channels } = shape;
    const data = new Float64Array(this.n * height * width * channels);
    for (let i = 0; i < data.length; i++) {
      const pixel = Math.floor(i / channels);
      const row = Math.floor(pixel / width);
      data[i] = element(Math.floor(row / height), row % height, pixel % width, i % channels);
    }
    return { ...shape, data };
  }
}

/** One element; undefined outside of the image. */
function at(v: NaiveValue, n: number, y: number, x: number, c: number): number | undefined {
  if (y < 0 || y >= v.height || x < 0 || x >= v.width) return undefined;
  return v.data[((n * v.height + y) * v.width + x) * v.channels + c];
}
