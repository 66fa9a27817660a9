/** The backward half of the compiler: the stages in reverse, one or a few kernel calls each. */
import { channelStride } from '../kernels/kernel.ts';
import { matmulScratchBytes } from '../kernels/matmul.ts';
import { recomputed, recordNormBackward } from './batch-norm-calls.ts';
import {
  batchInWords,
  type Compilation,
  dimensions,
  gradientHalo,
  valueOf,
  withoutHalo,
  wantsGradient,
} from './compilation.ts';
import { recordBackwardData, recordBackwardWeights } from './convolution-calls.ts';
import { GradientTerms, type Term } from './gradient-terms.ts';
import { type Stage, type StageOf, shapeOf } from './stages.ts';

/** Records the backward calls; afterwards the gradients region holds the shard's gradient sum. */
export function recordBackward(c: Compilation): void {
  new BackwardRecorder(c).record();
}

class BackwardRecorder {
  private readonly c: Compilation;
  private readonly gradients: GradientTerms;

  constructor(c: Compilation) {
    this.c = c;
    this.gradients = new GradientTerms(c);
  }

  record(): void {
    const last = this.c.stages.at(-1);
    if (!last || !this.c.logitsGradient) throw new Error('no loss to go back from');
    this.gradients.add(last.output, this.c.logitsGradient);
    for (const stage of this.c.stages.toReversed()) this.recordStage(stage);
    this.c.runs.flush();
  }

  private recordStage(stage: Stage): void {
    const { c } = this;
    switch (stage.kind) {
      case 'convolution':
        return this.recordConvolution(stage);
      case 'dense':
        return this.recordDense(stage);
      case 'batch-norm':
        return recordNormBackward(c, stage, this.gradients);
      case 'bias':
        return this.recordBias(stage);
      case 'relu':
      case 'add':
        return this.recordMask(stage);
      case 'shortcut': {
        const g = this.gradients.gatherOne(stage);
        this.gradients.scatter(stage, g);
        return;
      }
      default:
        return this.recordPool(stage);
    }
  }

  private recordConvolution(stage: StageOf<'convolution'>): void {
    const { c } = this;
    const placed = { stage, x: recomputed(c, stage.input, this.gradients) };
    const dy = this.haloGradient(stage);
    recordBackwardWeights(c, placed, dy);
    if (!wantsGradient(stage.input)) return;
    const dx = this.gradients.gradientOf(stage.input);
    const words = `${batchInWords(c, shapeOf(c.shapes, stage.output))} -> ${batchInWords(c, placed.x.shape)}`;
    recordBackwardData(c, placed, dy, dx, words);
    this.gradients.add(stage.input, dx);
  }

  /** The gradient of a convolution's output in one buffer with the halo that backward-data reads. */
  private haloGradient(stage: StageOf<'convolution'>): Term {
    const needed = gradientHalo(this.c, stage);
    const only = this.gradients.single(stage.output, needed);
    if (only) return only;
    // The output is read by something else than its batch-norm or bias: copy the terms into place.
    const { g, g2 } = this.gradients.gather(stage);
    const shape = shapeOf(this.c.shapes, stage.output);
    const dz = this.gradients.gradientOf(stage.output, needed);
    const size = { ...dimensions(shape), N: this.c.n };
    const dBias = this.c.tape.pooled('scratch', 4 * shape.channels);
    const absent = { y: 0, yHalo: 0, relu: 0 };
    this.c.runs.whole('backward', stage.label, batchInWords(this.c, shape), 'biasBackward', {
      g: g.buffer,
      g2: g2?.buffer ?? 0,
      dz: dz.buffer,
      dzHalo: needed,
      dBias,
      ...absent,
      ...size,
    });
    return dz;
  }

  private recordDense(stage: StageOf<'dense'>): void {
    const { c } = this;
    const x = withoutHalo(c, stage.input);
    const { units, name } = stage.layer;
    const inputs = shapeOf(c.shapes, stage.input).channels;
    const dz = this.gradients.gatherOne(stage);
    const common = { transA: 0, transB: 0, accumulate: 0 };
    const columns = { A: dz.buffer, lda: channelStride(units) };
    c.runs.whole('backward', stage.label, `${c.n}x${units} -> ${inputs}x${units}`, 'matmul', {
      ...common,
      transA: 1,
      M: inputs,
      N: units,
      K: c.n,
      A: x.buffer,
      lda: channelStride(inputs),
      B: dz.buffer,
      ldb: channelStride(units),
      C: c.parameters.gradient(name, 'weight'),
      ldc: units,
      scratch: c.tape.pooled('scratch', matmulScratchBytes(inputs, units, c.n)),
    });
    if (!wantsGradient(stage.input)) return;
    const dx = this.gradients.gradientOf(stage.input);
    const words = `${c.n}x${units} -> ${c.n}x${inputs}`;
    if (inputs % 4 !== 0) {
      const floats = c.n * channelStride(inputs);
      c.runs.whole('backward', stage.label, words, 'fill', { p: dx.buffer, floats, value: 0 });
    }
    c.runs.whole('backward', stage.label, words, 'matmul', {
      ...common,
      transB: 1,
      M: c.n,
      N: inputs,
      K: units,
      ...columns,
      B: c.parameters.value(name, 'weight'),
      ldb: units,
      C: dx.buffer,
      ldc: channelStride(inputs),
      scratch: c.tape.pooled('scratch', matmulScratchBytes(c.n, inputs, units)),
    });
    this.gradients.add(stage.input, dx);
  }

  private recordBias(stage: StageOf<'bias'>): void {
    const { c } = this;
    const y = valueOf(c, stage.output);
    const { g, g2, own } = this.gradients.gather(stage);
    const dzHalo = this.gradients.haloFor(stage.input);
    const dz = own && dzHalo === 0 ? g : this.gradients.gradientOf(stage.input, dzHalo);
    c.runs.whole('backward', stage.label, batchInWords(c, y.shape), 'biasBackward', {
      g: g.buffer,
      g2: g2?.buffer ?? 0,
      y: y.buffer,
      yHalo: y.halo,
      dz: dz.buffer,
      dzHalo,
      ...dimensions(y.shape),
      N: c.n,
      relu: Number(stage.relu),
      dBias: c.parameters.gradient(stage.owner, 'bias'),
    });
    this.gradients.add(stage.input, dz);
  }

  /** ReLU and sum: the gradient, masked where the output is 0, goes to every input. */
  private recordMask(stage: StageOf<'relu' | 'add'>): void {
    const { c } = this;
    const y = valueOf(c, stage.output);
    const relu = stage.kind === 'relu' || stage.relu;
    let gradient: Term;
    if (relu) {
      const { g, g2, own } = this.gradients.gather(stage);
      gradient = own ? g : this.gradients.gradientOf(stage.output);
      const pointers = { g, g2: g2 ?? 0, y, yHalo: y.halo, dx: gradient };
      const words = batchInWords(c, y.shape);
      c.runs.images('backward', stage.label, words, 'reluBackward', { ...pointers, ...dimensions(y.shape) });
    } else {
      gradient = this.gradients.gatherOne(stage);
    }
    this.gradients.add(stage.input, gradient);
    if (stage.kind === 'add') this.gradients.add(stage.other, gradient);
  }

  private recordPool(stage: StageOf<'max-pool' | 'average-pool' | 'global-average-pool' | 'flatten'>): void {
    if (!wantsGradient(stage.input)) return;
    const { c } = this;
    const shape = shapeOf(c.shapes, stage.input);
    const g = this.gradients.gatherOne(stage);
    const dx = this.gradients.gradientOf(stage.input);
    const words = `${batchInWords(c, shapeOf(c.shapes, stage.output))} -> ${batchInWords(c, shape)}`;
    const size = dimensions(shape);
    if (stage.kind === 'max-pool') {
      const { kernel: K, stride, pad } = stage.layer;
      const positions = c.positions.get(stage.output);
      if (!positions) throw new Error(`pooling ${stage.output} was not recorded`);
      c.runs.images('backward', stage.label, words, 'maxPoolBackward', {
        g,
        positions,
        dx,
        ...size,
        K,
        stride,
        pad,
      });
    } else if (stage.kind === 'average-pool') {
      const { kernel: K, stride, pad } = stage.layer;
      c.runs.images('backward', stage.label, words, 'averagePoolBackward', {
        g,
        dx,
        ...size,
        K,
        stride,
        pad,
      });
    } else if (stage.kind === 'global-average-pool') {
      c.runs.images('backward', stage.label, words, 'globalAveragePoolBackward', { g, dx, ...size });
    } else {
      c.runs.images('backward', stage.label, words, 'flattenBackward', { g, dx, ...size });
    }
    this.gradients.add(stage.input, dx);
  }
}
