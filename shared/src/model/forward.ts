/** The forward half of the compiler: one or a few kernel calls for each stage, then the loss. */
import { activationBytes, channelStride } from '../kernels/kernel.ts';
import { matmulScratchBytes } from '../kernels/matmul.ts';
import {
  allocate,
  batchInWords,
  type Compilation,
  dimensions,
  normalisedPixelsOf,
  perChannelBytes,
  pixelsOf,
  valueOf,
  withoutHalo,
} from './compilation.ts';
import { recordForwardConvolution } from './convolution-calls.ts';
import type { ImageRange } from './image-runs.ts';
import { type Stage, type StageOf, shapeOf } from './stages.ts';
import type { Buffer } from './tape.ts';

/** Records the forward calls of every stage, and the loss on the last one's value. */
export function recordForward(c: Compilation): void {
  for (const stage of c.stages) recordStage(c, stage);
  recordLoss(c);
  c.runs.flush();
}

function recordStage(c: Compilation, stage: Stage): void {
  switch (stage.kind) {
    case 'convolution':
      return recordConvolution(c, stage);
    case 'dense':
      return recordDense(c, stage);
    case 'batch-norm':
      return recordBatchNorm(c, stage);
    default:
      return recordPass(c, stage);
  }
}

function recordConvolution(c: Compilation, stage: StageOf<'convolution'>): void {
  const x = valueOf(c, stage.input);
  const y = allocate(c, stage.output);
  const words = `${batchInWords(c, x.shape)} -> ${batchInWords(c, y.shape)}`;
  recordForwardConvolution(c, { stage, x }, y, words);
}

function recordDense(c: Compilation, stage: StageOf<'dense'>): void {
  const x = withoutHalo(c, stage.input);
  const y = allocate(c, stage.output);
  const inputs = shapeOf(c.shapes, stage.input).channels;
  const units = stage.layer.units;
  const words = `${c.n}x${inputs} -> ${c.n}x${units}`;
  // The product writes logical columns only; without a bias stage behind it nobody clears the padding lanes.
  if (!stage.layer.bias && units % 4 !== 0) {
    const floats = c.n * channelStride(units);
    c.runs.whole('forward', stage.label, words, 'fill', { p: y.buffer, floats, value: 0 });
  }
  c.runs.whole('forward', stage.label, words, 'matmul', {
    transA: 0,
    transB: 0,
    M: c.n,
    N: units,
    K: inputs,
    A: x.buffer,
    lda: channelStride(inputs),
    B: c.parameters.value(stage.layer.name, 'weight'),
    ldb: units,
    C: y.buffer,
    ldc: channelStride(units),
    accumulate: 0,
    scratch: c.tape.pooled('scratch', matmulScratchBytes(c.n, units, inputs)),
  });
}

function recordBatchNorm(c: Compilation, stage: StageOf<'batch-norm'>): void {
  const z = withoutHalo(c, stage.input);
  const y = allocate(c, stage.output);
  const shape = shapeOf(c.shapes, stage.input);
  const { channels } = shape;
  const words = batchInWords(c, shape);
  const coefficients = c.tape.pooled(`${stage.norm}:coefficients`, perChannelBytes(channels).coefficients);
  const gamma = c.parameters.value(stage.norm, 'gamma');
  const beta = c.parameters.value(stage.norm, 'beta');
  const epsilon = c.options.batchNormEpsilon;
  if (c.mode === 'train') {
    const pixels = pixelsOf(c, shape);
    const moments = momentsOf(c, stage.norm);
    const area = shape.height * shape.width;
    c.runs.images('forward', stage.label, words, 'batchNormMoments', {
      // The deviations are taken from the shard's first pixel, so every range sees the tensor from its start.
      z: { ...z, whole: true },
      from: ({ from }: ImageRange) => from * area,
      pixels: ({ count }: ImageRange) => count * area,
      total: pixels,
      C: channels,
      moments,
    });
    const { sync } = c.fixed;
    if (sync) {
      // The whole shard's moments have to be complete, and then the whole batch's.
      c.runs.flush();
      c.tape.cut();
    }
    c.runs.whole('forward', stage.label, `${channels}`, 'batchNormCoefficients', {
      moments: sync ? momentsOf(c, stage.norm, sync.batchMoments) : moments,
      pixels: normalisedPixelsOf(c, shape),
      gamma,
      beta,
      epsilon,
      C: channels,
      coefficients,
    });
  } else {
    const mean = c.parameters.value(stage.norm, 'running-mean');
    const variance = c.parameters.value(stage.norm, 'running-variance');
    c.runs.whole('forward', stage.label, `${channels}`, 'batchNormRunningCoefficients', {
      runningMean: mean,
      runningVariance: variance,
      gamma,
      beta,
      epsilon,
      C: channels,
      coefficients,
    });
  }
  c.norms.set(stage.norm, { coefficients });
  const residual = stage.residual === null ? null : valueOf(c, stage.residual);
  c.runs.images('forward', stage.label, words, 'batchNormApply', {
    z,
    coefficients,
    residual: residual ?? 0,
    residualHalo: residual?.halo ?? 0,
    y,
    yHalo: y.halo,
    ...dimensions(shape),
    relu: Number(stage.relu),
  });
}

/** Where a batch-norm's moments or sums lie in a region: float64 pairs, layers one behind the other. */
export function momentsOf(c: Compilation, norm: string, region: Buffer = c.fixed.moments) {
  const found = c.layout.batchNorms.find(({ layer }) => layer === norm);
  if (!found) throw new Error(`no batch-norm ${norm}`);
  return region.at(16 * found.channel);
}

/** The stages that are a single call. */
function recordPass(
  c: Compilation,
  stage: Exclude<Stage, StageOf<'convolution' | 'dense' | 'batch-norm'>>,
): void {
  const input = valueOf(c, stage.input);
  const output = allocate(c, stage.output);
  const words = `${batchInWords(c, input.shape)} -> ${batchInWords(c, output.shape)}`;
  const x = { x: input, xHalo: input.halo };
  const y = { y: output, yHalo: output.halo };
  const size = dimensions(input.shape);
  const emit: typeof c.runs.images = (...a) => c.runs.images(...a);
  const at = ['forward', stage.label, words] as const;
  switch (stage.kind) {
    case 'bias': {
      const bias = c.parameters.value(stage.owner, 'bias');
      return emit(...at, 'biasForward', { z: input, bias, ...y, ...size, relu: Number(stage.relu) });
    }
    case 'relu':
      return emit(...at, 'reluForward', { ...x, ...y, ...size });
    case 'add': {
      const b = valueOf(c, stage.other);
      const terms = { a: input, aHalo: input.halo, b, bHalo: b.halo };
      return emit(...at, 'addForward', { ...terms, ...y, ...size, relu: Number(stage.relu) });
    }
    case 'max-pool': {
      const { kernel: K, stride, pad } = stage.layer;
      const { height, width, channels } = output.shape;
      const imageBytes = activationBytes(1, height, width, channels, 0);
      const buffer = c.tape.pooled(`${stage.output}:positions`, c.n * imageBytes);
      const positions = { buffer, imageBytes };
      c.positions.set(stage.output, positions);
      return emit(...at, 'maxPoolForward', { ...x, ...y, positions, ...size, K, stride, pad });
    }
    case 'average-pool': {
      const { kernel: K, stride, pad } = stage.layer;
      return emit(...at, 'averagePoolForward', { ...x, ...y, ...size, K, stride, pad });
    }
    case 'global-average-pool':
      return emit(...at, 'globalAveragePoolForward', { ...x, y: output, ...size });
    case 'flatten':
      return emit(...at, 'flattenForward', { ...x, y: output, ...size });
    case 'shortcut': {
      const { N, H, W, C: IC } = size;
      const OC = output.shape.channels;
      return emit(...at, 'shortcutForward', {
        ...x,
        y: output,
        N,
        H,
        W,
        IC,
        OC,
        stride: stage.stride,
      });
    }
  }
}

/** Softmax cross-entropy: losses are summed over the shard, not averaged. */
function recordLoss(c: Compilation): void {
  const last = c.stages.at(-1);
  if (!last) throw new Error('a model without layers');
  const logits = valueOf(c, last.output);
  const { channels } = shapeOf(c.shapes, last.output);
  if (c.mode === 'train') {
    const imageBytes = activationBytes(1, 1, 1, channels, 0);
    c.logitsGradient = { buffer: c.tape.pooled('logits:gradient', c.n * imageBytes), imageBytes, halo: 0 };
  }
  c.runs.whole('forward', 'loss', `${c.n}x${channels}`, 'softmaxCrossEntropy', {
    logits: logits.buffer,
    labels: c.input.labels,
    N: c.n,
    C: channels,
    dLogits: c.logitsGradient?.buffer ?? 0,
    totals: c.fixed.totals,
    predictions: c.input.predictions,
  });
}
