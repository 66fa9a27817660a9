/** The register-only multiply-add loop of a build: the rate that no kernel of it can pass. Not part of the table. */
import { type BuildName, tileColumns } from './build-name.ts';
import type { KernelInstance } from './instance.ts';

/** Floats of the two buffers that the loop takes; enough for either width. */
export const peakOperandFloats = 32;
export const peakOutputFloats = 96;

export interface PeakLoop {
  /** Runs the loop. `operands` and `out` are byte offsets; `out` is overwritten. The result only keeps it alive. */
  readonly run: (iterations: number, operands: number, out: number) => number;
  readonly flopsPerIteration: number;
}

/** The loop of one build; `instance` must be an instance of that build. */
export function peakLoop(build: BuildName, instance: KernelInstance): PeakLoop {
  const { tilePeak } = instance as unknown as { tilePeak: PeakLoop['run'] };
  return { run: tilePeak, flopsPerIteration: 12 * tileColumns(build) };
}
