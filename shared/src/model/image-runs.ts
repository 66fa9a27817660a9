/**
 * Runs of calls that treat every image alone, or add it to a sum. Between two batch-norm barriers (coefficients need
 * the moments of the whole shard) nothing depends on other images, so a few images go through all calls of a run before
 * the next few do: what one call writes, the next one reads from the cache and not from memory.
 *
 * How many images go together follows from the shapes alone, so the bits do not depend on the machine.
 */
import type { KernelArguments, KernelName } from '../kernels/table.ts';
import type { Argument, Buffer } from './buffer.ts';
import { type Run, type RunPlace, stripsOfRange } from './run-sharing.ts';
import type { Section, Tape } from './tape.ts';

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

/** Scratch of a call, or what it keeps from one range to the next: the more images at a time, the more bytes. */
export interface Workspace {
  /** Absent: scratch, which the calls of a run share, for what is hot in the cache is best written over. */
  readonly kept?: Buffer;
  readonly bytesFor: (images: number) => number;
}

/** An argument that may depend on the range. */
type RangeArgument = Argument | Operand | Workspace | ((range: ImageRange) => number);

type RangeArguments<K extends KernelName> = { readonly [Name in keyof KernelArguments<K>]: RangeArgument };

/** What else there is to say of a call in a run. */
interface RangeCallOptions {
  /** Bytes of weights, or of sums over weights, that every range goes through. */
  readonly weightBytes?: number;
  /** Images that should go together to be worth the call. */
  readonly least?: number;
  /** It adds to a sum, which nothing else in the run reads: range after range. */
  readonly adds?: boolean;
  /** Behind the run's other calls: it reads what they have read already, in an order that no cache foresees. */
  readonly last?: boolean;
}

interface RangeCall extends Required<RangeCallOptions> {
  readonly operands: readonly Operand[];
  readonly workspaces: readonly Workspace[];
  readonly emit: (range: ImageRange, place: RunPlace, scratch: Buffer) => void;
}

/** What a run should keep in the second-level cache of one core. */
export const runBytes = 640 * 1024;

/**
 * Images that go through a run together.
 *
 * @param imageBytes bytes of one image over all activations of the run
 * @param weightBytes bytes of weights that are read, or transformed, again for every range: when they outweigh the activations,
 *   all images go together
 * @param least images that should go together whatever they take; at least half as many do
 */
export function imagesTogether(n: number, imageBytes: number, weightBytes: number, least = 1): number {
  if (weightBytes > (n * imageBytes) / 4) return n;
  const fit = Math.max(least, Math.floor(runBytes / imageBytes));
  // As even as whole images allow.
  return Math.ceil(n / Math.ceil(n / fit));
}

export class ImageRuns {
  private readonly tape: Tape;
  private readonly n: number;
  private calls: RangeCall[] = [];

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
    { weightBytes = 0, least = 1, adds = false, last = false }: RangeCallOptions = {},
  ): void {
    const all = Object.entries(named) as [string, RangeArgument][];
    const operands = all.flatMap(([, argument]) => (isOperand(argument) ? [argument] : []));
    const workspaces = all.flatMap(([, argument]) => (isWorkspace(argument) ? [argument] : []));
    const emit = (range: ImageRange, place: RunPlace, scratch: Buffer): void => {
      const placed = all.map(([name, argument]) => [name, inRange(argument, range, scratch)]);
      this.tape.emit(section, layer, shapes, kernel, Object.fromEntries(placed), place);
    };
    this.calls.push({ operands, workspaces, weightBytes, least, adds, last, emit });
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

  /** Ends the run: records its calls range by range. */
  flush(): void {
    const asked = this.calls;
    const calls = [...asked.filter(({ last }) => !last), ...asked.filter(({ last }) => last)];
    this.calls = [];
    const touched = new Map<Buffer, number>();
    for (const { buffer, imageBytes } of calls.flatMap((call) => call.operands))
      touched.set(buffer, imageBytes);
    const imageBytes = [...touched.values()].reduce((a, b) => a + b, 0);
    const weightBytes = calls.reduce((sum, call) => sum + call.weightBytes, 0);
    const least = Math.max(1, ...calls.map((call) => call.least));
    // A single call gains nothing from being cut.
    const together = calls.length < 2 ? this.n : imagesTogether(this.n, imageBytes, weightBytes, least);
    const scratch = this.tape.pooled('scratch', 0, true);
    for (const { kept, bytesFor } of calls.flatMap(({ workspaces }) => workspaces)) {
      const buffer = kept ?? scratch;
      buffer.bytes = Math.max(buffer.bytes, bytesFor(together));
    }
    const ranges = cut(this.n, together);
    const run = { together, ranges: ranges.length };
    for (const [at, range] of ranges.entries()) {
      for (const call of calls) call.emit(range, placeOf(call, asked, run, at), scratch);
    }
    if (!this.tape.sharesRuns || ranges.length > 1 || this.n < 2) return;
    for (const [at, strip] of cut(this.n, Math.ceil(this.n / stripsOfRange)).entries()) {
      for (const call of asked.filter(({ adds }) => !adds)) {
        call.emit(strip, { ...placeOf(call, asked, run, at), isStrip: true }, scratch);
      }
    }
  }
}

/** All images, so many at a time. */
function cut(n: number, together: number): ImageRange[] {
  return Array.from({ length: Math.ceil(n / together) }, (_, i) => ({
    from: i * together,
    count: Math.min(together, n - i * together),
  }));
}

function placeOf(call: RangeCall, asked: readonly RangeCall[], run: Run, range: number): RunPlace {
  return { run, call: asked.indexOf(call), range, adds: call.adds, isStrip: false };
}

function isWorkspace(argument: RangeArgument): argument is Workspace {
  return typeof argument === 'object' && 'bytesFor' in argument;
}

function isOperand(argument: RangeArgument): argument is Operand {
  return typeof argument === 'object' && 'imageBytes' in argument;
}

function inRange(argument: RangeArgument, range: ImageRange, scratch: Buffer): Argument {
  if (typeof argument === 'function') return argument(range);
  if (isWorkspace(argument)) return argument.kept ?? scratch;
  if (!isOperand(argument)) return argument;
  const { buffer, imageBytes, whole } = argument;
  return whole ? buffer.at(0) : { buffer, byteOffset: range.from * imageBytes, imageBytes };
}
