/** The forward half of the compiler: one or a few kernel calls for each stage, then the loss. */
import { activationBytes, channelStride } from '../kernels/kernel.ts';
import { matmulScratchBytes } from '../kernels/matmul.ts';
import { recordNorm } from './batch-norm-calls.ts';
import { allocate, batchInWords, type Compilation, dimensions, valueOf, withoutHalo } from './compilation.ts';
import { recordForwardConvolution } from './convolution-calls.ts';
import { type Stage, type StageOf, shapeOf } from './stages.ts';

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
      return recordNorm(c, stage);
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
