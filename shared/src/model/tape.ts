/**
 * The tape records kernel calls on buffers that have no place yet. When recording is over, lifetimes are
 * known, the memory plan gives every buffer its offset, and the calls become numbers.
 */
import { type Call, call, type KernelArguments, type KernelName } from '../kernels/table.ts';
import { type Argument, Buffer } from './buffer.ts';
import { align, planMemory, wholePages } from './memory-plan.ts';
import type { PlacedBuffer, Step } from './program.ts';
import { type RecordedCall, type Run, type RunPlace, type SharedRun, shareRun } from './run-sharing.ts';
import { cutIntoUnits, type FloatRange, type WeightUnit } from './weight-units.ts';

type Pending<K extends KernelName> = { readonly [Name in keyof KernelArguments<K>]: Argument };

interface PendingStep {
  readonly kernel: KernelName;
  readonly named: Readonly<Record<string, Argument>>;
  readonly layer: string;
  readonly shapes: string;
  /** Null: it belongs to no run. */
  readonly place: RunPlace | null;
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
  readonly sharedRuns: readonly SharedRun[];
}

export class Tape {
  private readonly sections: Record<Section, PendingStep[]> = { forward: [], backward: [] };
  private readonly packing: PendingPacking[] = [];
  private readonly needed: FloatRange[] = [];
  private weights: { readonly buffer: Buffer; readonly passing: boolean } | null = null;
  private readonly cuts: number[] = [];
  /** Calls for part of a range, for those that share it. */
  private readonly strips: (PendingStep & { readonly place: RunPlace })[] = [];
  /** The run that is being recorded, its first call's number, and what its calls touch. */
  private run: { readonly of: Run; readonly from: number; readonly touched: Set<Buffer> } | null = null;
  private readonly pool: Buffer[] = [];
  /** Buffers of the prepared region: alive for good, placed one behind the other. */
  private readonly prepared: Buffer[] = [];
  /** The same, of a rank's own: placed behind what ranks share. */
  private readonly own: Buffer[] = [];
  /** Several ranks may make the calls of a run together. */
  readonly sharesRuns: boolean;

  constructor(sharesRuns: boolean) {
    this.sharesRuns = sharesRuns;
  }

  /** A buffer that lives from its first to its last call and whose space is used again afterwards. */
  pooled(name: string, bytes: number, isScratch = false): Buffer {
    const buffer = new Buffer(name, bytes, null, isScratch);
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
    this.packing.push({ kernel, named, layer, shapes, place: null, ...reads });
  }

  /**
   * Records a call. Forward calls all come before backward ones: their number is the clock of the lifetimes.
   *
   * @param place in a run, whose calls come one behind the other
   */
  emit<K extends KernelName>(
    section: Section,
    layer: string,
    shapes: string,
    kernel: K,
    named: Pending<K>,
    place: RunPlace | null = null,
  ): void {
    if (place?.isStrip) {
      this.strips.push({ kernel, named, layer, shapes, place });
      return;
    }
    if (section === 'forward' && this.sections.backward.length > 0) throw new Error('forward after backward');
    this.sections[section].push({ kernel, named, layer, shapes, place });
    const time = this.sections.forward.length + this.sections.backward.length - 1;
    const run = place?.run ?? null;
    const shared = this.sharesRuns ? run : null;
    if (this.run?.of !== shared) this.run = shared && { of: shared, from: time, touched: new Set() };
    for (const argument of Object.values(named) as Argument[]) {
      if (typeof argument === 'number') continue;
      const { buffer, imageBytes } = 'buffer' in argument ? argument : { buffer: argument, imageBytes: 0 };
      this.touch(buffer, time, imageBytes ? run : null, imageBytes);
      this.run?.touched.add(buffer);
    }
    // Who shares a run makes its calls in another order: what any of them touches lives through all of it.
    for (const buffer of this.run?.touched ?? []) {
      buffer.from = Math.min(buffer.from, this.run?.from ?? time);
      buffer.to = Math.max(buffer.to, time);
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
    for (const buffer of used) if (buffer.run) buffer.bytes = buffer.run.together * buffer.bytesOfImage;
    const plan = planMemory(used);
    used.forEach((buffer, i) => void (buffer.place = pool + (plan.offsets[i] as number)));
    const finished = (section: Section): Step[] => this.sections[section].map((step) => placedStep(step));
    const [forward, backward] = [finished('forward'), finished('backward')];
    return {
      prepare: ranges.map((range) => this.unit(range)),
      forward,
      backward,
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
      sharedRuns: this.sharesRuns ? this.shareRuns([...forward, ...backward], own) : [],
    };
  }

  /** @param placed all calls, in order @param own where what belongs to one rank begins */
  private shareRuns(placed: readonly Step[], own: number): SharedRun[] {
    const pending = [...this.sections.forward, ...this.sections.backward];
    const strips = Map.groupBy(this.strips, ({ place }) => place.run);
    const runs = new Map<Run, { from: number; calls: RecordedCall[] }>();
    for (const [at, step] of placed.entries()) {
      const recorded = pending[at] as PendingStep;
      const { place } = recorded;
      if (place === null) continue;
      const known = runs.get(place.run) ?? { from: at, calls: [] };
      known.calls.push({ step, place, moved: movedValues(recorded, own) });
      runs.set(place.run, known);
    }
    return [...runs].flatMap(([run, { from, calls }]) => {
      const parts = (strips.get(run) ?? []).map((strip) => ({
        step: placedStep(strip),
        place: strip.place,
        moved: movedValues(strip, own),
      }));
      const shared = shareRun(calls, parts, from);
      return shared === null ? [] : [shared];
    });
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
    return buffer.place + (buffer.isOfOneRange ? 0 : delta) + (buffer === moved ? by : 0);
  };
  return { call: placedCall(kernel, named, resolve), layer, shapes };
}

/** Positions of the values that lead to what a shard has in its rank's own memory, from byte `own` on. */
function movedValues({ kernel, named }: PendingStep, own: number): number[] {
  const isMoved = (argument: Argument): boolean => {
    if (typeof argument === 'number') return false;
    const buffer = 'buffer' in argument ? argument.buffer : argument;
    return !buffer.isScratch && !buffer.isOfOneRange && (buffer.place ?? 0) >= own;
  };
  const { values } = placedCall(kernel, named, (argument) => Number(isMoved(argument)));
  return [...values.keys()].filter((at) => values[at] === 1);
}

function placedCall(
  kernel: KernelName,
  named: Readonly<Record<string, Argument>>,
  resolve: (argument: Argument) => number,
): Call {
  const numbers = Object.fromEntries(Object.entries(named).map(([name, value]) => [name, resolve(value)]));
  return call(kernel, numbers as unknown as KernelArguments<typeof kernel>);
}
