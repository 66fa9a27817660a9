/**
 * Gradients of values, as terms: every reader of a value adds one, and the kernel of its producer takes up to two
 * of them, so that most sums cost no pass of their own.
 */
import { activationBytes } from '../kernels/kernel.ts';
import { batchInWords, type Compilation, dimensions, gradientHalo, wantsGradient } from './compilation.ts';
import type { ImageShape } from './spec.ts';
import { type Stage, type StageOf, shapeOf } from './stages.ts';
import type { Buffer } from './tape.ts';

/** A term of a gradient. Several values may share one buffer, which then must not be overwritten. */
export interface Term {
  readonly buffer: Buffer;
  /** Halo of the buffer: 0 but for the gradient that goes into a convolution. */
  readonly halo: number;
}

export class GradientTerms {
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

  /** The only term of a value, if it is one, has the halo that is needed, and no shortcut adds to it. */
  single(name: string, halo: number): Term | null {
    if (this.scatters.has(name)) return null;
    const [only, ...rest] = this.terms.get(name) ?? [];
    return only && rest.length === 0 && only.halo >= halo ? only : null;
  }

  /** A shortcut's gradient, to be added into another term of its input. */
  scatter(stage: StageOf<'shortcut'>, g: Buffer): void {
    this.scatters.set(stage.input, [...(this.scatters.get(stage.input) ?? []), { stage, g }]);
    this.holders.set(g, (this.holders.get(g) ?? 0) + 1);
  }

  /** Another reader of a value hands its share of the gradient down. */
  add(name: string, term: Term): void {
    if (!wantsGradient(name)) return;
    this.terms.set(name, [...(this.terms.get(name) ?? []), term]);
    this.holders.set(term.buffer, (this.holders.get(term.buffer) ?? 0) + 1);
  }

  private bytesOf(shape: ImageShape, halo = 0): number {
    return activationBytes(this.c.n, shape.height, shape.width, shape.channels, halo);
  }

  /** A new buffer for the gradient of a value. */
  gradientOf(name: string, halo = 0): Buffer {
    return this.c.tape.pooled(`${name}:gradient`, this.bytesOf(shapeOf(this.c.shapes, name), halo));
  }

  /** The gradient of a value as one or two terms without halo. */
  gather(stage: Stage): { g: Buffer; g2: Buffer | null; own: boolean } {
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
  haloFor(name: string): number {
    const producer = this.producers.get(name);
    return producer && this.readers.get(name) === 1 ? gradientHalo(this.c, producer) : 0;
  }

  /** The gradient of a value as exactly one term without halo. */
  gatherOne(stage: Stage): Buffer {
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
}
