/**
 * Runs one kernel in float32 (all four builds) and its float64 reference on the same inputs and offsets,
 * with guard words around every buffer.
 */
import { type BuildName, buildNames, firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import { instantiateKernels, type KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import { type Kernel, ReferenceMemory } from '@lockstep/shared/kernels/kernel.ts';
import { call, type KernelArguments, type KernelName, kernels } from '@lockstep/shared/kernels/table.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';

const arenaPages = 512;
const guard = 12345.5;
const guardBytes = 64;

const instances = new Map<BuildName, { memory: WebAssembly.Memory; kernels: KernelInstance }>();
for (const build of buildNames) {
  const memory = new WebAssembly.Memory({ initial: arenaPages, maximum: arenaPages, shared: true });
  instances.set(build, { memory, kernels: instantiateKernels(await compileKernels(build), memory) });
}

/** One buffer of a test: its elements are float32, float64, int32 or bytes in the arena. */
export interface TestBuffer {
  readonly kind: 'f32' | 'f64' | 'i32' | 'u8';
  readonly offset: number;
  readonly length: number;
  readonly data: Float64Array;
}

/** Lays out buffers with guards between them and runs kernels on them. */
export class KernelHarness {
  private top = firstFreeByte + guardBytes;
  readonly buffers: TestBuffer[] = [];

  /**
   * Adds a buffer filled by `fill(i)`; float32 values are rounded first, so that both sides start from
   * the same numbers.
   */
  buffer(kind: TestBuffer['kind'], length: number, fill: (i: number) => number = () => 0): TestBuffer {
    const bytesEach = { f32: 4, f64: 8, i32: 4, u8: 1 }[kind];
    const data = Float64Array.from({ length }, (_, i) => (kind === 'f32' ? Math.fround(fill(i)) : fill(i)));
    const made = { kind, offset: this.top, length, data };
    this.top += Math.ceil((length * bytesEach) / 64) * 64 + guardBytes;
    if (this.top > arenaPages * 65536) throw new Error('the test needs a larger arena');
    this.buffers.push(made);
    return made;
  }

  /** Runs calls in one build and returns a reader of the buffers afterwards; throws if a guard was hit. */
  run<K extends KernelName>(build: BuildName, calls: readonly (readonly [K, KernelArguments<K>])[]) {
    const bound = instances.get(build);
    if (!bound) throw new Error(`no build ${build}`);
    const { memory } = bound;
    for (const b of this.buffers) {
      new Float32Array(memory.buffer, b.offset - guardBytes, guardBytes / 4).fill(guard);
      this.view(memory.buffer, b).set(b.data);
    }
    new Float32Array(memory.buffer, this.top - guardBytes, guardBytes / 4).fill(guard);
    const results = calls.map(([name, named]) => bound.kernels[name](...call(name, named).values));
    for (const b of [...this.buffers, { offset: this.top } as TestBuffer]) {
      const words = new Float32Array(memory.buffer, b.offset - guardBytes, guardBytes / 4);
      if (words.some((x) => x !== guard))
        throw new Error(`${build}: a guard before byte ${b.offset} was hit`);
    }
    return { results, read: (b: TestBuffer) => this.view(memory.buffer, b).slice() };
  }

  /** Runs the same calls through the float64 references. */
  reference<K extends KernelName>(calls: readonly (readonly [K, KernelArguments<K>])[]) {
    const memory = new ReferenceMemory(Math.ceil(this.top / 8) * 8);
    for (const b of this.buffers) {
      if (b.kind === 'u8') memory.bytes.set(b.data, b.offset);
      else b.data.forEach((x, i) => void (memory.values[b.offset / 4 + i * (b.kind === 'f64' ? 2 : 1)] = x));
    }
    const results = calls.map(([name, named]) =>
      (kernels[name] as Kernel).reference(memory, named as Record<string, number>),
    );
    const read = (b: TestBuffer): Float64Array =>
      Float64Array.from({ length: b.length }, (_, i) =>
        b.kind === 'u8'
          ? (memory.bytes[b.offset + i] as number)
          : (memory.values[b.offset / 4 + i * (b.kind === 'f64' ? 2 : 1)] as number),
      );
    return { results, read };
  }

  private view(buffer: ArrayBufferLike, b: TestBuffer) {
    if (b.kind === 'f32') return new Float32Array(buffer, b.offset, b.length);
    if (b.kind === 'f64') return new Float64Array(buffer, b.offset, b.length);
    if (b.kind === 'i32') return new Int32Array(buffer, b.offset, b.length);
    return new Uint8Array(buffer, b.offset, b.length);
  }
}
