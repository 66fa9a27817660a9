/**
 * The backward half of the compiler: stages in reverse. Every value collects the terms of its gradient from
 * its readers; the kernel of its producer takes up to two of them, so that most sums cost no pass of their own.
 */
import { convBackwardWeightsScratchBytes, convPackedBackwardDataBytes } from '../kernels/convolution.ts';
import { activationBytes, channelStride } from '../kernels/kernel.ts';
import { matmulScratchBytes } from '../kernels/matmul.ts';
import {
  batchInWords,
  type Compilation,
  dimensions,
  gradientHalo,
  parameter,
  perChannelBytes,
  pixelsOf,
  valueOf,
  wantsGradient,
} from './compilation.ts';
import type { ImageShape } from './spec.ts';
import { type Stage, shapeOf } from './stages.ts';
import type { Buffer } from './tape.ts';

type StageOf<K extends Stage['kind']> = Extract<Stage, { kind: K }>;

/** A term of a gradient. Several values may share one buffer, which then must not be overwritten. */
interface Term {
  readonly buffer: Buffer;
  /** Halo of the buffer: 0 but for the gradient that goes into a convolution. */
  readonly halo: number;
}

/** Records the backward calls; afterwards the gradients region holds the shard's gradient sum. */
export function recordBackward(c: Compilation): void {
  new BackwardRecorder(c).record();
}

class BackwardRecorder {
  private readonly c: Compilation;
  private readonly terms = new Map<string, Term[]>();
  /** Shortcut gradients that are added into another term once there is one. */
  private readonly scatters = new Map<string, { stage: StageOf<'shortcut'>; g: Buffer }[]>();
  /** How many values hold a buffer as a term. */
  private readonly holders = new Map<Buffer, number>();
  /** The stage that gives a value, to know the halo that the value's gradient needs. */
  private readonly producers: ReadonlyMap<string, Stage>;
  /** How many stages read a value. */
  private readonly readers = new Map<string, number>();

  constructor(c: Compilation) {
    this.c = c;
    this.producers = new Map(c.stages.map((stage) => [stage.output, stage]));
    for (const stage of c.stages) {
      const others =
        stage.kind === 'add' ? [stage.other] : stage.kind === 'batch-norm' ? [stage.residual] : [];
      for (const name of [stage.input, ...others]) {
        if (name !== null) this.readers.set(name, (this.readers.get(name) ?? 0) + 1);
      }
    }
  }

  record(): void {
    const last = this.c.stages.at(-1);
    if (!last || !this.c.logitsGradient) throw new Error('no loss to go back from');
    this.addTerm(last.output, { buffer: this.c.logitsGradient, halo: 0 });
    for (const stage of this.c.stages.toReversed()) this.recordStage(stage);
  }

  private addTerm(name: string, term: Term): void {
    if (!wantsGradient(name)) return;
    this.terms.set(name, [...(this.terms.get(name) ?? []), term]);
    this.holders.set(term.buffer, (this.holders.get(term.buffer) ?? 0) + 1);
  }

  private bytesOf(shape: ImageShape, halo = 0): number {
    return activationBytes(this.c.n, shape.height, shape.width, shape.channels, halo);
  }

  /** A new buffer for the gradient of a value. */
  private gradientOf(name: string, halo = 0): Buffer {
    return this.c.tape.pooled(`${name}:gradient`, this.bytesOf(shapeOf(this.c.shapes, name), halo));
  }

  /** The gradient of a value as one or two terms without halo. */
  private gather(stage: Stage): { g: Buffer; g2: Buffer | null; own: boolean } {
    const { c } = this;
    const name = stage.output;
    const shape = shapeOf(c.shapes, name);
    const words = batchInWords(c, shape);
    const floats = this.bytesOf(shape) / 4;
    const terms = [...(this.terms.get(name) ?? [])];
    for (const { stage: shortcut, g } of this.scatters.get(name) ?? []) {
      this.release(g);
      let target = terms.find(({ buffer }) => this.holders.get(buffer) === 1)?.buffer;
      if (!target) {
        target = this.gradientOf(name);
        c.tape.emit('backward', shortcut.label, words, 'fill', { p: target, floats, value: 0 });
        terms.push({ buffer: target, halo: 0 });
        this.holders.set(target, 1);
      }
      const { N, H, W, C: IC } = dimensions(c, shape);
      const OC = shapeOf(c.shapes, shortcut.output).channels;
      const size = { N, H, W, IC, OC, stride: shortcut.stride };
      c.tape.emit('backward', shortcut.label, words, 'shortcutBackward', { g, dx: target, ...size });
    }
    while (terms.length > 2) {
      const [a, b] = terms.splice(0, 2) as [Term, Term];
      const out = this.gradientOf(name);
      c.tape.emit('backward', stage.label, words, 'add', { a: a.buffer, b: b.buffer, out, floats });
      terms.push({ buffer: out, halo: 0 });
      for (const { buffer } of [a, b]) this.release(buffer);
      this.holders.set(out, 1);
    }
    const [first, second] = terms;
    if (!first) throw new Error(`value ${name} has no gradient: nothing reads it`);
    const own = this.holders.get(first.buffer) === 1;
    for (const { buffer } of terms) this.release(buffer);
    return { g: first.buffer, g2: second?.buffer ?? null, own };
  }

  /** One value less that holds the buffer. */
  private release(buffer: Buffer): void {
    this.holders.set(buffer, (this.holders.get(buffer) ?? 0) - 1);
  }

  /** The halo in which a stage should write the gradient of its input: 0 when others add to it. */
  private haloFor(name: string): number {
    const producer = this.producers.get(name);
    return producer && this.readers.get(name) === 1 ? gradientHalo(this.c, producer) : 0;
  }

  /** The gradient of a value as exactly one term without halo. */
  private gatherOne(stage: Stage): Buffer {
    const { g, g2, own } = this.gather(stage);
    if (!g2) return g;
    const shape = shapeOf(this.c.shapes, stage.output);
    const out = own ? g : this.gradientOf(stage.output);
    const floats = this.bytesOf(shape) / 4;
    this.c.tape.emit('backward', stage.label, batchInWords(this.c, shape), 'add', {
      a: g,
      b: g2,
      out,
      floats,
    });
    return out;
  }

  private recordStage(stage: Stage): void {
    switch (stage.kind) {
      case 'convolution':
        return this.recordConvolution(stage);
      case 'dense':
        return this.recordDense(stage);
      case 'batch-norm':
        return this.recordBatchNorm(stage);
      case 'bias':
        return this.recordBias(stage);
      case 'relu':
      case 'add':
        return this.recordMask(stage);
      case 'shortcut': {
        const g = this.gatherOne(stage);
        this.scatters.set(stage.input, [...(this.scatters.get(stage.input) ?? []), { stage, g }]);
        this.holders.set(g, (this.holders.get(g) ?? 0) + 1);
        return;
      }
      default:
        return this.recordPool(stage);
    }
  }

  private recordConvolution(stage: StageOf<'convolution'>): void {
    const { c } = this;
    const x = valueOf(c, stage.input);
    const { kernel, stride, pad, filters, name } = stage.layer;
    const dy = this.haloGradient(stage);
    const size = { KH: kernel, KW: kernel, IC: x.shape.channels, OC: filters };
    const shared = { N: c.n, H: x.shape.height, W: x.shape.width, ...size, stride, pad };
    const output = shapeOf(c.shapes, stage.output);
    const words = `${batchInWords(c, output)} -> ${batchInWords(c, x.shape)}`;
    const { IC, OC } = shared;
    c.tape.emit(
      'backward',
      stage.label,
      `${words.split(' ')[0]} -> ${kernel}x${kernel}x${IC}x${OC}`,
      'convBackwardWeights',
      {
        x: x.buffer,
        xHalo: x.halo,
        dy: dy.buffer,
        dyHalo: dy.halo,
        dw: parameter(c, c.fixed.gradients, name, 'weight'),
        ...shared,
        scratch: c.tape.pooled('scratch', convBackwardWeightsScratchBytes(shared)),
      },
    );
    if (!wantsGradient(stage.input)) return;
    const packed = c.tape.kept(
      `${name}:packed backward`,
      convPackedBackwardDataBytes(kernel, kernel, x.shape.channels, filters),
    );
    const w = parameter(c, c.fixed.weights, name, 'weight');
    const packing = { w, packed, ...size, stride, pad };
    c.tape.emit('prepare', stage.label, `${kernel}x${kernel}x${IC}x${OC}`, 'convPackBackwardData', packing);
    const dx = this.gradientOf(stage.input);
    const pointers = { dy: dy.buffer, dyHalo: dy.halo, packed, dx };
    c.tape.emit('backward', stage.label, words, 'convBackwardData', { ...pointers, ...shared });
    this.addTerm(stage.input, { buffer: dx, halo: 0 });
  }

  /** The gradient of a convolution's output in one buffer with the halo that backward-data reads. */
  private haloGradient(stage: StageOf<'convolution'>): Term {
    const needed = gradientHalo(this.c, stage);
    const [only, ...rest] = this.terms.get(stage.output) ?? [];
    if (only && rest.length === 0 && only.halo >= needed) return only;
    // The output is read by something else than its batch-norm or bias: copy the terms into place.
    const { g, g2 } = this.gather(stage);
    const shape = shapeOf(this.c.shapes, stage.output);
    const dz = this.gradientOf(stage.output, needed);
    const size = dimensions(this.c, shape);
    const dBias = this.c.tape.pooled('scratch', 4 * shape.channels);
    const absent = { y: 0, yHalo: 0, relu: 0 };
    this.c.tape.emit('backward', stage.label, batchInWords(this.c, shape), 'biasBackward', {
      ...{ g, g2: g2 ?? 0, dz, dzHalo: needed, dBias },
      ...absent,
      ...size,
    });
    return { buffer: dz, halo: needed };
  }

  private recordDense(stage: StageOf<'dense'>): void {
    const { c } = this;
    const x = valueOf(c, stage.input);
    const { units, name } = stage.layer;
    const inputs = x.shape.channels;
    const dz = this.gatherOne(stage);
    const common = { transA: 0, transB: 0, accumulate: 0 };
    const columns = { A: dz, lda: channelStride(units) };
    c.tape.emit('backward', stage.label, `${c.n}x${units} -> ${inputs}x${units}`, 'matmul', {
      ...common,
      transA: 1,
      ...{ M: inputs, N: units, K: c.n, A: x.buffer, lda: channelStride(inputs) },
      ...{ B: dz, ldb: channelStride(units), C: parameter(c, c.fixed.gradients, name, 'weight'), ldc: units },
      scratch: c.tape.pooled('scratch', matmulScratchBytes(inputs, units, c.n)),
    });
    if (!wantsGradient(stage.input)) return;
    const dx = this.gradientOf(stage.input);
    const words = `${c.n}x${units} -> ${c.n}x${inputs}`;
    if (inputs % 4 !== 0) {
      const floats = c.n * channelStride(inputs);
      c.tape.emit('backward', stage.label, words, 'fill', { p: dx, floats, value: 0 });
    }
    c.tape.emit('backward', stage.label, words, 'matmul', {
      ...common,
      transB: 1,
      ...{ M: c.n, N: inputs, K: units, ...columns },
      ...{ B: parameter(c, c.fixed.weights, name, 'weight'), ldb: units, C: dx, ldc: channelStride(inputs) },
      scratch: c.tape.pooled('scratch', matmulScratchBytes(c.n, inputs, units)),
    });
    this.addTerm(stage.input, { buffer: dx, halo: 0 });
  }

  private recordBatchNorm(stage: StageOf<'batch-norm'>): void {
    const { c } = this;
    const z = valueOf(c, stage.input);
    const y = valueOf(c, stage.output);
    const { g, g2, own } = this.gather(stage);
    const masked = own ? g : this.gradientOf(stage.output);
    const sums = c.tape.pooled(`${stage.norm}:sums`, perChannelBytes(z.shape.channels).sums);
    const coefficients = c.norms.get(stage.norm)?.coefficients;
    if (!coefficients) throw new Error(`batch-norm ${stage.norm} was not recorded`);
    const words = batchInWords(c, z.shape);
    const size = dimensions(c, z.shape);
    c.tape.emit('backward', stage.label, words, 'batchNormBackwardReduce', {
      ...{ g, g2: g2 ?? 0, y: y.buffer, yHalo: y.halo, z: z.buffer, coefficients, masked },
      ...size,
      relu: Number(stage.relu),
      sums,
    });
    const dzHalo = this.haloFor(stage.input);
    const dz = this.gradientOf(stage.input, dzHalo);
    c.tape.emit('backward', stage.label, words, 'batchNormBackwardApply', {
      ...{ masked, z: z.buffer, coefficients, sums, pixels: pixelsOf(c, z.shape), dz, dzHalo },
      ...size,
      dGamma: parameter(c, c.fixed.gradients, stage.norm, 'gamma'),
      dBeta: parameter(c, c.fixed.gradients, stage.norm, 'beta'),
    });
    this.addTerm(stage.input, { buffer: dz, halo: dzHalo });
    if (stage.residual !== null) this.addTerm(stage.residual, { buffer: masked, halo: 0 });
  }

  private recordBias(stage: StageOf<'bias'>): void {
    const { c } = this;
    const y = valueOf(c, stage.output);
    const { g, g2, own } = this.gather(stage);
    const dzHalo = this.haloFor(stage.input);
    const dz = own && dzHalo === 0 ? g : this.gradientOf(stage.input, dzHalo);
    c.tape.emit('backward', stage.label, batchInWords(c, y.shape), 'biasBackward', {
      ...{ g, g2: g2 ?? 0, y: y.buffer, yHalo: y.halo, dz, dzHalo },
      ...dimensions(c, y.shape),
      relu: Number(stage.relu),
      dBias: parameter(c, c.fixed.gradients, stage.owner, 'bias'),
    });
    this.addTerm(stage.input, { buffer: dz, halo: dzHalo });
  }

  /** ReLU and sum: the gradient, masked where the output is 0, goes to every input. */
  private recordMask(stage: StageOf<'relu' | 'add'>): void {
    const { c } = this;
    const y = valueOf(c, stage.output);
    const relu = stage.kind === 'relu' || stage.relu;
    let gradient: Buffer;
    if (relu) {
      const { g, g2, own } = this.gather(stage);
      gradient = own ? g : this.gradientOf(stage.output);
      const pointers = { g, g2: g2 ?? 0, y: y.buffer, yHalo: y.halo, dx: gradient };
      const words = batchInWords(c, y.shape);
      c.tape.emit('backward', stage.label, words, 'reluBackward', { ...pointers, ...dimensions(c, y.shape) });
    } else {
      gradient = this.gatherOne(stage);
    }
    this.addTerm(stage.input, { buffer: gradient, halo: 0 });
    if (stage.kind === 'add') this.addTerm(stage.other, { buffer: gradient, halo: 0 });
  }

  private recordPool(stage: StageOf<'max-pool' | 'average-pool' | 'global-average-pool' | 'flatten'>): void {
    if (!wantsGradient(stage.input)) return;
    const { c } = this;
    const shape = shapeOf(c.shapes, stage.input);
    const g = this.gatherOne(stage);
    const dx = this.gradientOf(stage.input);
    const words = `${batchInWords(c, shapeOf(c.shapes, stage.output))} -> ${batchInWords(c, shape)}`;
    const size = dimensions(c, shape);
    if (stage.kind === 'max-pool') {
      const { kernel: K, stride, pad } = stage.layer;
      const positions = c.positions.get(stage.output);
      if (!positions) throw new Error(`pooling ${stage.output} was not recorded`);
      c.tape.emit('backward', stage.label, words, 'maxPoolBackward', {
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
      c.tape.emit('backward', stage.label, words, 'averagePoolBackward', { g, dx, ...size, K, stride, pad });
    } else if (stage.kind === 'global-average-pool') {
      c.tape.emit('backward', stage.label, words, 'globalAveragePoolBackward', { g, dx, ...size });
    } else {
      c.tape.emit('backward', stage.label, words, 'flattenBackward', { g, dx, ...size });
    }
    this.addTerm(stage.input, { buffer: dx, halo: 0 });
  }
}
