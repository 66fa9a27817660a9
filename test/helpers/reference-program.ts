/** Executes compiled programs in float64: the references of the kernel table on the program's own offsets. */
import { type Kernel, activationBytes, ReferenceMemory } from '@lockstep/shared/kernels/kernel.ts';
import { pairIndex } from '@lockstep/shared/kernels/batch-norm.ts';
import { pooledSize } from '@lockstep/shared/kernels/pooling.ts';
import { kernels, namedArguments } from '@lockstep/shared/kernels/table.ts';
import { initialise } from '@lockstep/shared/model/initialisation.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { Program, Step } from '@lockstep/shared/model/program.ts';
import { placeWeights } from '@lockstep/shared/model/weight-units.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { noise } from './kernel-check.ts';

/** What a program reads. */
export interface ProgramInput {
  /** `[totalCount]`: parameters, then running statistics. */
  readonly weights: Float64Array;
  /** uint8 `[N][H][W][C]`. */
  readonly images: Uint8Array;
  readonly labels: readonly number[];
  /** `[C][256]`: what a byte of a channel becomes. */
  readonly pixelTable: Float32Array;
}

export interface ProgramResult {
  readonly lossSum: number;
  readonly correct: number;
  /** `[parameterCount]`; empty in mode `evaluate`. */
  readonly gradients: Float64Array;
  /** `[batchNormChannels][2]`: mean and M2. */
  readonly moments: Float64Array;
  readonly predictions: readonly number[];
}

/** Called before each call with its arguments by name. */
export type Observer = (kernel: string, a: Record<string, number>, memory: ReferenceMemory) => void;

/** A random input of `shardSize` images; every number is a float32, and no parameter or statistic is at its first value. */
export function randomInput(model: Model, shardSize: number, seed: number): ProgramInput {
  const layout = layOut(model);
  const value = noise(seed);
  const weights = Float64Array.from(initialise(layout, seed), (w, i) => Math.fround(w + 0.2 * value(i)));
  for (const { role, offset, size } of layout.running) {
    if (role !== 'running-variance') continue;
    for (let i = offset; i < offset + size; i++) weights[i] = Math.fround(0.5 + Math.abs(value(i)));
  }
  const { height, width, channels } = model.images;
  const byte = (i: number) => Math.floor(128 + 127.9 * value(-1 - i));
  return {
    weights,
    images: Uint8Array.from({ length: shardSize * height * width * channels }, (_, i) => byte(i)),
    labels: Array.from({ length: shardSize }, (_, i) => byte(1e6 + i) % model.classes),
    pixelTable: Float32Array.from({ length: 256 * channels }, (_, i) => (i % 256) / 64 - 2 + i / 5000),
  };
}

/** The input tensor as plain numbers `[N][H][W][C]`. */
export function inputPixels(model: Model, input: ProgramInput): Float64Array {
  const { channels } = model.images;
  return Float64Array.from(
    input.images,
    (byte, i) => input.pixelTable[(i % channels) * 256 + byte] as number,
  );
}

/** A program bound to a float64 memory. */
export class ReferenceProgram {
  readonly program: Program;
  readonly memory: ReferenceMemory;

  constructor(program: Program) {
    this.program = program;
    this.memory = new ReferenceMemory(program.arenaBytes);
  }

  /** Loads, prepares, and runs forward and (unless told otherwise) backward. */
  run(input: ProgramInput, observe: Observer | null = null, backward = true): ProgramResult {
    this.begin(input);
    this.execute(this.program.forward, observe);
    if (backward) this.execute(this.program.backward, observe);
    return this.result();
  }

  /** Loads and prepares. */
  begin(input: ProgramInput): void {
    this.load(input);
    for (const unit of this.program.prepare) {
      placeWeights(unit, input.weights, this.memory.values);
      this.execute(unit.steps, null);
    }
  }

  /** What lies in the memory now. */
  result(): ProgramResult {
    const { regions, layout, shardSize } = this.program;
    const { values } = this.memory;
    const at = (address: number, length: number) => values.slice(address / 4, address / 4 + length);
    const predictions = [...at(this.program.input.predictions, shardSize)];
    const moments = Float64Array.from(
      { length: 2 * layout.batchNormChannels },
      (_, i) => values[pairIndex(regions.moments, i >> 1, (i & 1) as 0 | 1)] as number,
    );
    const gradients = at(regions.gradients, this.program.mode === 'train' ? layout.parameterCount : 0);
    const totals = at(regions.totals, 4);
    return { lossSum: totals[0] as number, correct: totals[2] as number, gradients, moments, predictions };
  }

  private load(input: ProgramInput): void {
    const { values, bytes } = this.memory;
    const { regions, input: places, model } = this.program;
    values.set(input.pixelTable, regions.pixelTable / 4);
    values.set(input.labels, places.labels / 4);
    bytes.set(input.images, places.bytes);
    const { height: H, width: W, channels: C } = model.images;
    const plain = { H, W, C, dy: 0, dx: 0, flip: 0, table: regions.pixelTable };
    for (let n = 0; n < this.program.shardSize; n++) {
      const image = { bytes: places.bytes, image: n, y: places.images, yHalo: places.imagesHalo, n };
      kernels.loadImage.reference(this.memory, { ...image, ...plain });
    }
  }

  execute(steps: readonly Step[], observe: Observer | null): void {
    for (const { call } of steps) {
      const named = namedArguments(call);
      (kernels[call.kernel] as Kernel).reference(this.memory, named);
      observe?.(call.kernel, named, this.memory);
    }
  }
}

/**
 * Collects which side of its kink every ReLU and every maximum is on: within one pattern the loss is a smooth
 * function of the parameters.
 */
export function patternObserver(): { observe: Observer; pattern: () => string } {
  let low = 0x811c9dc5;
  let high = 0x1234567;
  const add = (word: number) => {
    low = Math.imul(low ^ word, 0x01000193);
    high = Math.imul(high ^ (word + 0x9e37), 0x85ebca6b) + low;
  };
  const observe: Observer = (kernel, a, { values }) => {
    const read = (name: string) => a[name] as number;
    const [N, H, W, C] = [read('N'), read('H'), read('W'), read('C')];
    if (kernel === 'maxPoolForward') {
      const size = (x: number) => pooledSize(x, read('K'), read('stride'), read('pad'));
      const from = read('positions') / 4;
      const to = from + activationBytes(N, size(H), size(W), C, 0) / 4;
      for (let i = from; i < to; i++) add(values[i] as number);
    }
    const rectifies = kernel === 'reluForward' || (kernel.endsWith('Forward') && a['relu'] === 1);
    if (!rectifies && !(kernel === 'batchNormApply' && a['relu'] === 1)) return;
    const from = read('y') / 4;
    const to = from + activationBytes(N, H, W, C, read('yHalo')) / 4;
    for (let i = from; i < to; i++) add((values[i] as number) > 0 ? 1 : 0);
  };
  return { observe, pattern: () => `${low} ${high}` };
}
