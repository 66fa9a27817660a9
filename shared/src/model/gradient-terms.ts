/**
 * Gradients of values, as terms: every reader of a value adds one, and the kernel of its producer takes up to two
 * of them, so that most sums cost no pass of their own.
 */
import { activationBytes } from '../kernels/kernel.ts';
import { batchInWords, type Compilation, dimensions, gradientHalo, wantsGradient } from './compilation.ts';
import type { ImageRange, Operand } from './image-runs.ts';
import { type Stage, type StageOf, shapeOf } from './stages.ts';
import type { Buffer } from './buffer.ts';

/** A term of a gradient. Several values may share one buffer, which then must not be overwritten. */
export interface Term extends Operand {
  /** Halo of the buffer: 0 but for the gradient that goes into a convolution. */
  readonly halo: number;
}

export class GradientTerms {
  private readonly c: Compilation;
  private readonly terms = new Map<string, Term[]>();
  /** Shortcut gradients that are added into another term once there is one. */
  private readonly scatters = new Map<string, { stage: StageOf<'shortcut'>; g: Term }[]>();
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
  scatter(stage: StageOf<'shortcut'>, g: Term): void {
    this.scatters.set(stage.input, [...(this.scatters.get(stage.input) ?? []), { stage, g }]);
    this.holders.set(g.buffer, (this.holders.get(g.buffer) ?? 0) + 1);
  }

  /** Another reader of a value hands its share of the gradient down. */
  add(name: string, term: Term): void {
    if (!wantsGradient(name)) return;
    this.terms.set(name, [...(this.terms.get(name) ?? []), term]);
    this.holders.set(term.buffer, (this.holders.get(term.buffer) ?? 0) + 1);
  }

  /** A new buffer for the gradient of a value. */
  gradientOf(name: string, halo = 0): Term {
    const { height, width, channels } = shapeOf(this.c.shapes, name);
    const imageBytes = activationBytes(1, height, width, channels, halo);
    return { buffer: this.c.tape.pooled(`${name}:gradient`, this.c.n * imageBytes), imageBytes, halo };
  }

  /** The gradient of a value as one or two terms without halo. */
  gather(stage: Stage): { g: Term; g2: Term | null; own: boolean } {
    const { c } = this;
    const name = stage.output;
    const shape = shapeOf(c.shapes, name);
    const words = batchInWords(c, shape);
    const floats = this.floatsOf(name);
    const terms = [...(this.terms.get(name) ?? [])];
    for (const { stage: shortcut, g } of this.scatters.get(name) ?? []) {
      this.release(g.buffer);
      let target = terms.find(({ buffer, halo }) => halo === 0 && this.holders.get(buffer) === 1);
      if (!target) {
        target = this.gradientOf(name);
        c.runs.images('backward', shortcut.label, words, 'fill', { p: target, floats, value: 0 });
        terms.push(target);
        this.holders.set(target.buffer, 1);
      }
      const { N, H, W, C: IC } = dimensions(shape);
      const OC = shapeOf(c.shapes, shortcut.output).channels;
      const size = { N, H, W, IC, OC, stride: shortcut.stride };
      c.runs.images('backward', shortcut.label, words, 'shortcutBackward', { g, dx: target, ...size });
    }
    while (terms.length > 2) {
      const [a, b] = terms.splice(0, 2) as [Term, Term];
      const out = this.gradientOf(name);
      c.runs.images('backward', stage.label, words, 'add', { a, b, out, floats });
      terms.push(out);
      for (const { buffer } of [a, b]) this.release(buffer);
      this.holders.set(out.buffer, 1);
    }
    const [first, second] = terms;
    if (!first) throw new Error(`value ${name} has no gradient: nothing reads it`);
    const own = this.holders.get(first.buffer) === 1;
    for (const { buffer } of terms) this.release(buffer);
    return { g: first, g2: second ?? null, own };
  }

  /** One value less that holds the buffer. */
  private release(buffer: Buffer): void {
    this.holders.set(buffer, (this.holders.get(buffer) ?? 0) - 1);
  }

  /** The stage that gives a value, if only one reads it. */
  onlyFrom(name: string): Stage | null {
    return this.readers.get(name) === 1 ? (this.producers.get(name) ?? null) : null;
  }

  /** The halo in which a stage should write the gradient of its input: 0 when others add to it. */
  haloFor(name: string): number {
    const producer = this.onlyFrom(name);
    return producer ? gradientHalo(this.c, producer) : 0;
  }

  /** The gradient of a value as exactly one term without halo. */
  gatherOne(stage: Stage): Term {
    const { g, g2, own } = this.gather(stage);
    if (!g2) return g;
    const shape = shapeOf(this.c.shapes, stage.output);
    const out = own ? g : this.gradientOf(stage.output);
    const floats = this.floatsOf(stage.output);
    const words = batchInWords(this.c, shape);
    this.c.runs.images('backward', stage.label, words, 'add', { a: g, b: g2, out, floats });
    return out;
  }

  /** Floats of a value's gradient for the images of a range. */
  private floatsOf(name: string): (range: ImageRange) => number {
    const { height, width, channels } = shapeOf(this.c.shapes, name);
    return ({ count }) => activationBytes(count, height, width, channels, 0) / 4;
  }
}
