/**
 * The tape records kernel calls on buffers that have no place yet. When recording is over, lifetimes are
 * known, the memory plan gives every buffer its offset, and the calls become numbers.
 */
import { type Call, call, type KernelArguments, type KernelName } from '../kernels/table.ts';
import { align, planMemory } from './memory-plan.ts';
import type { PlacedBuffer, Step } from './program.ts';

/** A buffer of the arena; `place` is set for regions that are fixed in advance. */
export class Buffer {
  readonly name: string;
  readonly bytes: number;
  place: number | null;
  from = Number.POSITIVE_INFINITY;
  to = Number.NEGATIVE_INFINITY;

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

export type Section = 'prepare' | 'forward' | 'backward';

export class Tape {
  private readonly sections: Record<Section, PendingStep[]> = { prepare: [], forward: [], backward: [] };
  private readonly cuts: number[] = [];
  private readonly pool: Buffer[] = [];
  /** Buffers of the prepared region: alive for good, placed one behind the other. */
  private readonly prepared: Buffer[] = [];

  /** A buffer that lives from its first to its last call and whose space is used again afterwards. */
  pooled(name: string, bytes: number): Buffer {
    const buffer = new Buffer(name, bytes);
    this.pool.push(buffer);
    return buffer;
  }

  /** A buffer that keeps its content from one shard to the next: packed weights. */
  kept(name: string, bytes: number): Buffer {
    const buffer = new Buffer(name, bytes);
    this.prepared.push(buffer);
    return buffer;
  }

  /**
   * Records a call. Calls of `prepare` touch kept and fixed buffers only; forward calls all come before
   * backward ones, because their number is the clock of the lifetimes.
   */
  emit<K extends KernelName>(
    section: Section,
    layer: string,
    shapes: string,
    kernel: K,
    named: Pending<K>,
  ): void {
    if (section === 'forward' && this.sections.backward.length > 0) throw new Error('forward after backward');
    this.sections[section].push({ kernel, named, layer, shapes });
    if (section === 'prepare') return;
    const time = this.sections.forward.length + this.sections.backward.length - 1;
    for (const argument of Object.values(named) as Argument[]) {
      if (typeof argument !== 'number') this.touch('buffer' in argument ? argument.buffer : argument, time);
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

  private touch(buffer: Buffer, time: number): void {
    buffer.from = Math.min(buffer.from, time);
    buffer.to = Math.max(buffer.to, time);
  }

  /**
   * Places everything: kept buffers from `preparedAt` on, pooled ones `shift` bytes behind them.
   *
   * @returns the finished sections, the pool's start and the arena's end in bytes, the numbers of calls before cuts
   */
  finish(
    preparedAt: number,
    shift = 0,
  ): {
    sections: Record<Section, Step[]>;
    pool: number;
    arenaBytes: number;
    buffers: PlacedBuffer[];
    cuts: readonly number[];
  } {
    let top = preparedAt;
    for (const buffer of this.prepared) {
      buffer.place = top;
      top += align(buffer.bytes);
    }
    const used = this.pool.filter((buffer) => buffer.to >= buffer.from);
    const plan = planMemory(used);
    top += shift;
    used.forEach((buffer, i) => void (buffer.place = top + (plan.offsets[i] as number)));
    const resolve = (argument: Argument): number => {
      if (typeof argument === 'number') return argument;
      const [buffer, delta] = 'buffer' in argument ? [argument.buffer, argument.byteOffset] : [argument, 0];
      if (buffer.place === null) throw new Error(`buffer ${buffer.name} has no place`);
      return buffer.place + delta;
    };
    const finished = (section: Section): Step[] =>
      this.sections[section].map(({ kernel, named, layer, shapes }) => ({
        call: placedCall(kernel, named, resolve),
        layer,
        shapes,
      }));
    return {
      sections: {
        prepare: finished('prepare'),
        forward: finished('forward'),
        backward: finished('backward'),
      },
      pool: top,
      arenaBytes: Math.ceil((top + plan.bytes) / 65536) * 65536,
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
}

function placedCall(
  kernel: KernelName,
  named: Readonly<Record<string, Argument>>,
  resolve: (argument: Argument) => number,
): Call {
  const numbers = Object.fromEntries(Object.entries(named).map(([name, value]) => [name, resolve(value)]));
  return call(kernel, numbers as unknown as KernelArguments<typeof kernel>);
}
