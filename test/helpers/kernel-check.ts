/** What every kernel test asks: right values, exact zeros around them, the same bits in both widths. */
import { type BuildName, buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { activationBytes, activationIndex, channelStride } from '@lockstep/shared/kernels/kernel.ts';
import type { KernelArguments, KernelName } from '@lockstep/shared/kernels/table.ts';
import fc from 'fast-check';
import { sameBits } from './bits.ts';
import { compareArrays } from './comparison.ts';
import type { KernelHarness, TestBuffer } from './kernel-harness.ts';

/** A kernel's name with its arguments. */
export type NamedCall = { [K in KernelName]: readonly [K, KernelArguments<K>] }[KernelName];
export type Calls = readonly NamedCall[];

type Unchecked = readonly (readonly [KernelName, never])[];

/** `harness.run` for calls of different kernels, whose arguments TypeScript would merge. */
export function runCalls(harness: KernelHarness, build: BuildName, calls: Calls) {
  return harness.run(build, calls as Unchecked);
}

/** `harness.reference` for calls of different kernels. */
export function referenceCalls(harness: KernelHarness, calls: Calls) {
  return harness.reference(calls as Unchecked);
}

export interface Shape {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly C: number;
}

/** A tensor in a harness. */
export interface TestTensor extends Shape {
  readonly halo: number;
  readonly buffer: TestBuffer;
}

/** Small odd shapes: more and fewer channels than any block, images from one pixel on, empty batches. */
export const shapes: fc.Arbitrary<Shape> = fc.record({
  N: fc.integer({ min: 0, max: 5 }),
  H: fc.integer({ min: 1, max: 9 }),
  W: fc.integer({ min: 1, max: 9 }),
  C: fc.integer({ min: 1, max: 37 }),
});
/** The same without empty batches. */
export const filledShapes = shapes.map((shape) => ({ ...shape, N: Math.max(1, shape.N) }));
export const halos = fc.integer({ min: 0, max: 2 });
export const flags = fc.integer({ min: 0, max: 1 });
export const seeds = fc.integer({ min: 0, max: 1e6 });

/** A fixed value in [-1, 1) for every (seed, i). */
export function noise(seed: number): (i: number) => number {
  return (i) => {
    const x = Math.sin(i * 12.9898 + seed * 0.618 + 1) * 43758.5453;
    return 2 * (x - Math.floor(x)) - 1;
  };
}

/** What destinations hold before: a kernel must overwrite all of it. */
const garbage = 77;

/** Buffer indexes of the logical elements of a tensor, in the order (n, y, x, c). */
export function insideIndexes(t: Shape & { readonly halo: number }): number[] {
  const found: number[] = [];
  for (let n = 0; n < t.N; n++) {
    for (let y = 0; y < t.H; y++) {
      for (let x = 0; x < t.W; x++) {
        const pixel = activationIndex(n, y, x, t.H, t.W, channelStride(t.C), t.halo);
        for (let c = 0; c < t.C; c++) found.push(pixel + c);
      }
    }
  }
  return found;
}

/** The logical elements among all `values` of a tensor's buffer. */
export function logicalValues(t: Shape & { readonly halo: number }, values: ArrayLike<number>): number[] {
  return insideIndexes(t).map((i) => values[i] as number);
}

/** An input: `value(i)` inside, zeros in halo and padding lanes. */
export function inputTensor(
  harness: KernelHarness,
  shape: Shape,
  halo: number,
  value: (i: number) => number,
): TestTensor {
  const inside = new Set(insideIndexes({ ...shape, halo }));
  const floats = activationBytes(shape.N, shape.H, shape.W, shape.C, halo) / 4;
  return { ...shape, halo, buffer: harness.buffer('f32', floats, (i) => (inside.has(i) ? value(i) : 0)) };
}

/** A destination full of garbage. */
export function outputTensor(harness: KernelHarness, shape: Shape, halo = 0): TestTensor {
  const floats = activationBytes(shape.N, shape.H, shape.W, shape.C, halo) / 4;
  return { ...shape, halo, buffer: harness.buffer('f32', floats, () => garbage) };
}

export interface Output {
  readonly name: string;
  readonly buffer: TestBuffer;
  /** Of the root mean square; 0 for exact equality. */
  readonly tolerance: number;
  /** Smallest scale to divide differences by. */
  readonly floor?: number;
  /** When given, halo and padding lanes must be exactly 0. */
  readonly tensor?: TestTensor;
}

/** An output that is a tensor. */
export function tensorOutput(name: string, tensor: TestTensor, tolerance: number, floor?: number): Output {
  return { name, buffer: tensor.buffer, tolerance, tensor, ...(floor === undefined ? {} : { floor }) };
}

const asWords = (values: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number }) =>
  new Float32Array(values.buffer.slice(values.byteOffset, values.byteOffset + values.byteLength));

/**
 * Runs calls in all builds and compares every output with the float64 reference.
 *
 * @throws Error naming the build and the output at the first difference
 */
export function checkCalls(harness: KernelHarness, calls: Calls, outputs: readonly Output[]): void {
  const reference = referenceCalls(harness, calls);
  const bits: Float32Array[][] = outputs.map(() => []);
  for (const build of buildNames) {
    const run = runCalls(harness, build, calls);
    outputs.forEach((output, i) => {
      const actual = run.read(output.buffer);
      const found = compareArrays(actual, reference.read(output.buffer), output.tolerance, output.floor);
      if (!found.ok) throw new Error(`${build} ${output.name}: ${found.message}`);
      if (output.tensor) {
        const inside = new Set(insideIndexes(output.tensor));
        const at = actual.findIndex((x: number, k: number) => x !== 0 && !inside.has(k));
        if (at >= 0) throw new Error(`${build} ${output.name}: ${actual[at]} outside of the tensor at ${at}`);
      }
      (bits[i] as Float32Array[]).push(asWords(actual));
    });
  }
  for (const results of bits) sameBits(results, buildNames);
}
