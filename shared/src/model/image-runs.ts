/**
 * Runs of calls that treat every image alone. Between two batch-norm barriers (coefficients need the moments of
 * the whole shard) nothing depends on other images, so a few images go through all calls of a run before the next
 * few do: what one call writes, the next one reads from the cache and not from memory.
 *
 * How many images go together follows from the shapes alone, so the bits do not depend on the machine.
 */
import type { KernelArguments, KernelName } from '../kernels/table.ts';
import type { Argument, Buffer, Section, Tape } from './tape.ts';

/** Images `from` .. `from + count` of the shard. */
export interface ImageRange {
  readonly from: number;
  readonly count: number;
}

/** An activation in a call for some images: a pointer to the first of them. */
export interface Operand {
  readonly buffer: Buffer;
  /** Bytes from one image to the next. */
  readonly imageBytes: number;
  /** Points to the first image of the shard whatever the range is. */
  readonly whole?: boolean;
}

/** An argument that may depend on the range. */
type RangeArgument = Argument | Operand | ((range: ImageRange) => number);

type RangeArguments<K extends KernelName> = { readonly [Name in keyof KernelArguments<K>]: RangeArgument };

interface RangeCall {
  readonly operands: readonly Operand[];
  readonly weightBytes: number;
  readonly emit: (range: ImageRange) => void;
}

/** What a run should keep in the second-level cache of one core. */
export const runBytes = 640 * 1024;

/**
 * Images that go through a run together.
 *
 * @param imageBytes bytes of one image over all activations of the run
 * @param weightBytes bytes of weights that are read, or transformed, again for every range: when they outweigh the activations,
 *   all images go together
 */
export function imagesTogether(n: number, imageBytes: number, weightBytes: number): number {
  if (weightBytes > (n * imageBytes) / 4) return n;
  const fit = Math.max(1, Math.floor(runBytes / imageBytes));
  // As even as whole images allow.
  return Math.ceil(n / Math.ceil(n / fit));
}

export class ImageRuns {
  private readonly tape: Tape;
  private readonly n: number;
  private calls: RangeCall[] = [];
  private deferred: (() => void)[] = [];

  /** @param n images of the shard */
  constructor(tape: Tape, n: number) {
    this.tape = tape;
    this.n = n;
  }

  /** Adds a call that can be made for any range of images. */
  images<K extends KernelName>(
    section: Section,
    layer: string,
    shapes: string,
    kernel: K,
    named: RangeArguments<K>,
    weightBytes = 0,
  ): void {
    const all = Object.entries(named) as [string, RangeArgument][];
    const operands = all.flatMap(([, argument]) => (isOperand(argument) ? [argument] : []));
    const emit = (range: ImageRange): void => {
      const placed = all.map(([name, argument]) => [name, inRange(argument, range)]);
      this.tape.emit(section, layer, shapes, kernel, Object.fromEntries(placed));
    };
    this.calls.push({ operands, weightBytes, emit });
  }

  /** Ends the run and records a call for all images at once. */
  whole<K extends KernelName>(
    section: Section,
    layer: string,
    shapes: string,
    kernel: K,
    named: { readonly [Name in keyof KernelArguments<K>]: Argument },
  ): void {
    this.flush();
    this.tape.emit(section, layer, shapes, kernel, named);
  }

  /** A call for all images at once that need not come before the calls of the run that are still to be added. */
  defer<K extends KernelName>(
    section: Section,
    layer: string,
    shapes: string,
    kernel: K,
    named: { readonly [Name in keyof KernelArguments<K>]: Argument },
  ): void {
    this.deferred.push(() => this.tape.emit(section, layer, shapes, kernel, named));
  }

  /** Ends the run: records its calls range by range, then what was deferred. */
  flush(): void {
    const { calls, deferred } = this;
    this.calls = [];
    this.deferred = [];
    const touched = new Map<Buffer, number>();
    for (const { buffer, imageBytes } of calls.flatMap((call) => call.operands))
      touched.set(buffer, imageBytes);
    const imageBytes = [...touched.values()].reduce((a, b) => a + b, 0);
    const weightBytes = calls.reduce((sum, call) => sum + call.weightBytes, 0);
    // A single call gains nothing from being cut.
    const together = calls.length < 2 ? this.n : imagesTogether(this.n, imageBytes, weightBytes);
    for (let from = 0; from < this.n; from += together) {
      const range = { from, count: Math.min(together, this.n - from) };
      for (const call of calls) call.emit(range);
    }
    for (const emit of deferred) emit();
  }
}

function isOperand(argument: RangeArgument): argument is Operand {
  return typeof argument === 'object' && 'imageBytes' in argument;
}

function inRange(argument: RangeArgument, range: ImageRange): Argument {
  if (typeof argument === 'function') return argument(range);
  if (!isOperand(argument)) return argument;
  return argument.buffer.at(argument.whole ? 0 : range.from * argument.imageBytes);
}
