/** The register-only multiply-add loop of a build: the rate that no kernel of it can pass. Not part of the table. */
import { type BuildName, firstFreeByte, tileColumns } from './build-name.ts';
import type { KernelInstance } from './instance.ts';

/** Floats of the two buffers that the loop takes; enough for either width. */
const operandFloats = 32;
const outputFloats = 96;

/** Factors so small that nothing overflows, and none subnormal. */
const operand = 1e-3;

type TilePeak = (iterations: number, operands: number, out: number) => number;

export interface PeakLoop {
  readonly run: (iterations: number) => void;
  readonly flopsPerIteration: number;
}

/**
 * The loop of one build. Its few operands overwrite the first free bytes of the memory.
 *
 * @param instance of that build, over `memory`
 */
export function peakLoop(build: BuildName, instance: KernelInstance, memory: WebAssembly.Memory): PeakLoop {
  const { tilePeak } = instance as unknown as { tilePeak: TilePeak };
  const out = firstFreeByte + 4 * operandFloats;
  new Float32Array(memory.buffer, firstFreeByte, operandFloats + outputFloats).fill(operand);
  return {
    run: (iterations) => void tilePeak(iterations, firstFreeByte, out),
    flopsPerIteration: 12 * tileColumns(build),
  };
}
