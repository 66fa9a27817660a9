/**
 * The tape records kernel calls on buffers that have no place yet. When recording is over, lifetimes are
 * known, the memory plan gives every buffer its offset, and the calls become numbers.
 */
import { type Call, call, type KernelArguments, type KernelName } from '../kernels/table.ts';
import { align, planMemory, wholePages } from './memory-plan.ts';
import type { PlacedBuffer, Step } from './program.ts';
import { cutIntoUnits, type FloatRange, type WeightUnit } from './weight-units.ts';

/** Calls that a few images at a time go through; its identity tells it from others. */
export interface Run {
  /** Images of the longest range. */
  readonly together: number;
}

/** A buffer of the arena; `place` is set for regions that are fixed in advance. */
export class Buffer {
  readonly name: string;
  /** Of weights that pass, and of what only one run touches, only known when the tape is finished. */
  bytes: number;
  place: number | null;
  from = Number.POSITIVE_INFINITY;
  to = Number.NEGATIVE_INFINITY;
  /** The run of all calls that touch it, each of them the images of its range only; null: there is none. */
  run: Run | null | undefined;
  /** Bytes of one image in it, where there is such a run. */
  bytesOfImage = 0;

  constructor(name: string, bytes: number, place: number | null = null) {
    this.name = name;
    this.bytes = bytes;
    this.place = place;
  }

  /** A pointer to `byteOffset` inside. */
  at(byteOffset: number): Pointer {
    return { buffer: this, byteOffset };
  }
}

export interface Pointer {
  readonly buffer: Buffer;
  readonly byteOffset: number;
  /** The pointer leads to the first image of a range, images having so many bytes. */
  readonly imageBytes?: number;
}

/** What may stand for an argument before offsets are known. */
export type Argument = number | Buffer | Pointer;

type Pending<K extends KernelName> = { readonly [Name in keyof KernelArguments<K>]: Argument };

interface PendingStep {
  readonly kernel: KernelName;
  readonly named: Readonly<Record<string, Argument>>;
  readonly layer: string;
  readonly shapes: string;
}

export type Section = 'forward' | 'backward';

/** A call that packs, or copies, floats [from, to) of the flat weights. */
interface PendingPacking extends PendingStep, FloatRange {}

/** Where everything came to lie. */
export interface FinishedTape {
  readonly prepare: readonly WeightUnit[];
  readonly forward: readonly Step[];
  readonly backward: readonly Step[];
  /** Where what belongs to one rank begins, its pool, and the arena's end, in bytes. */
  readonly own: number;
  readonly pool: number;
  readonly arenaBytes: number;
  readonly buffers: readonly PlacedBuffer[];
  /** Numbers of calls before cuts. */
  readonly cuts: readonly number[];
}

export class Tape {
  private readonly sections: Record<Section, PendingStep[]> = { forward: [], backward: [] };
  private readonly packing: PendingPacking[] = [];
  private readonly needed: FloatRange[] = [];
  private weights: { readonly buffer: Buffer; readonly passing: boolean } | null = null;
  private readonly cuts: number[] = [];
  private readonly pool: Buffer[] = [];
  /** Buffers of the prepared region: alive for good, placed one behind the other. */
  private readonly prepared: Buffer[] = [];
  /** The same, of a rank's own: placed behind what ranks share. */
  private readonly own: Buffer[] = [];

  /** A buffer that lives from its first to its last call and whose space is used again afterwards. */
  pooled(name: string, bytes: number): Buffer {
    const buffer = new Buffer(name, bytes);
    this.pool.push(buffer);
    return buffer;
  }

  /** A buffer that keeps its content from one shard to the next, and that ranks may share: packed weights. */
  kept(name: string, bytes: number): Buffer {
    const buffer = new Buffer(name, bytes);
    this.prepared.push(buffer);
    return buffer;
  }

  /** A buffer of one rank at the same place in every program. */
  owned(name: string, bytes: number): Buffer {
    const buffer = new Buffer(name, bytes);
    this.own.push(buffer);
    return buffer;
  }

  /** The flat weights, all of them there at a time. */
  keptWeights(buffer: Buffer): Buffer {
    this.weights = { buffer, passing: false };
    return buffer;
  }

  /** The flat weights, of which only those are there that a unit of packing reads. */
  passingWeights(): Buffer {
    const buffer = this.pooled('weights', 0);
    // Beside the images, which may be loaded first.
    this.touchBeforeAll(buffer);
    this.weights = { buffer, passing: true };
    return buffer;
  }

  /** These of the flat weights have to be there before the first call. */
  need(range: FloatRange): void {
    this.needed.push(range);
  }

  /**
   * Records a call that packs some of the weights. It writes kept buffers only.
   *
   * @param reads which of the flat weights it reads: when it is made they are there, and perhaps only they
   */
  prepare<K extends KernelName>(
    layer: string,
    shapes: string,
    kernel: K,
    named: Pending<K>,
    reads: FloatRange,
  ): void {
    this.packing.push({ kernel, named, layer, shapes, ...reads });
  }

  /**
   * Records a call. Forward calls all come before backward ones: their number is the clock of the lifetimes.
   *
   * @param run of which it is a call for some images
   */
  emit<K extends KernelName>(
    section: Section,
    layer: string,
    shapes: string,
    kernel: K,
    named: Pending<K>,
    run: Run | null = null,
  ): void {
    if (section === 'forward' && this.sections.backward.length > 0) throw new Error('forward after backward');
    this.sections[section].push({ kernel, named, layer, shapes });
    const time = this.sections.forward.length + this.sections.backward.length - 1;
    for (const argument of Object.values(named) as Argument[]) {
      if (typeof argument === 'number') continue;
      const { buffer, imageBytes } = 'buffer' in argument ? argument : { buffer: argument, imageBytes: 0 };
      this.touch(buffer, time, imageBytes ? run : null, imageBytes);
    }
  }

  /** Ends a segment: what comes next needs something from outside. */
  cut(): void {
    this.cuts.push(this.sections.forward.length + this.sections.backward.length);
  }

  /** Extends a lifetime to before the first call: the loader writes it. */
  touchBeforeAll(buffer: Buffer): void {
    this.touch(buffer, -1);
  }

  /** Extends a lifetime past the last call: somebody reads it afterwards. */
  touchAfterAll(buffer: Buffer): void {
    this.touch(buffer, Number.MAX_SAFE_INTEGER);
  }

  private touch(buffer: Buffer, time: number, run: Run | null = null, imageBytes = 0): void {
    buffer.from = Math.min(buffer.from, time);
    buffer.to = Math.max(buffer.to, time);
    buffer.run = buffer.run === undefined || buffer.run === run ? run : null;
    buffer.bytesOfImage = imageBytes;
  }

  /**
   * Places everything: what ranks share from `preparedAt` on, then what belongs to one of them.
   *
   * @param ownAt where that begins, if not right behind
   * @param shift bytes between a rank's fixed regions and its pool
   */
  finish(preparedAt: number, ownAt: number | null, shift = 0): FinishedTape {
    const sharedEnd = placeInTurn(this.prepared, preparedAt);
    const own = ownAt ?? wholePages(sharedEnd);
    if (own < sharedEnd)
      throw new RangeError(`${sharedEnd} bytes are shared, and a rank's own begin at ${own}`);
    const pool = placeInTurn(this.own, own) + shift;
    const ranges = cutIntoUnits([...this.needed, ...this.packing]);
    if (this.weights?.passing) {
      this.weights.buffer.bytes = 4 * Math.max(0, ...ranges.map(({ from, to }) => to - from));
    }
    const used = this.pool.filter((buffer) => buffer.to >= buffer.from);
    // What one range leaves in such a buffer nobody reads in the next one, which may overwrite it.
    for (const buffer of used) if (buffer.run) buffer.bytes = buffer.run.together * buffer.bytesOfImage;
    const plan = planMemory(used);
    used.forEach((buffer, i) => void (buffer.place = pool + (plan.offsets[i] as number)));
    const finished = (section: Section): Step[] => this.sections[section].map((step) => placedStep(step));
    return {
      prepare: ranges.map((range) => this.unit(range)),
      forward: finished('forward'),
      backward: finished('backward'),
      own,
      pool,
      arenaBytes: wholePages(pool + plan.bytes),
      buffers: used.map(({ name, place, bytes, from, to }) => ({
        name,
        offset: place ?? 0,
        bytes,
        from,
        to,
      })),
      cuts: this.cuts,
    };
  }

  private unit({ from, to }: FloatRange): WeightUnit {
    if (this.weights === null) throw new Error('nobody has said where weights are');
    const { buffer, passing } = this.weights;
    // Where weights pass, float `from` lies at the beginning of the buffer.
    const before = passing ? 4 * from : 0;
    const place = (buffer.place as number) + 4 * from - before;
    const steps = this.packing.filter((step) => from <= step.from && step.to <= to);
    return { from, to, place, steps: steps.map((step) => placedStep(step, buffer, -before)) };
  }
}

/** Places buffers one behind the other. @returns where the last one ends */
function placeInTurn(buffers: readonly Buffer[], from: number): number {
  let top = from;
  for (const buffer of buffers) {
    buffer.place = top;
    top += align(buffer.bytes);
  }
  return top;
}

/** @param moved a buffer that lies `by` bytes further for this call */
function placedStep(
  { kernel, named, layer, shapes }: PendingStep,
  moved: Buffer | null = null,
  by = 0,
): Step {
  const resolve = (argument: Argument): number => {
    if (typeof argument === 'number') return argument;
    const [buffer, delta] = 'buffer' in argument ? [argument.buffer, argument.byteOffset] : [argument, 0];
    if (buffer.place === null) throw new Error(`buffer ${buffer.name} has no place`);
    return buffer.place + (buffer.run ? 0 : delta) + (buffer === moved ? by : 0);
  };
  return { call: placedCall(kernel, named, resolve), layer, shapes };
}

function placedCall(
  kernel: KernelName,
  named: Readonly<Record<string, Argument>>,
  resolve: (argument: Argument) => number,
): Call {
  const numbers = Object.fromEntries(Object.entries(named).map(([name, value]) => [name, resolve(value)]));
  return call(kernel, numbers as unknown as KernelArguments<typeof kernel>);
}
