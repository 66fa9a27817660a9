/** The entry of a thread of a core trial: multiply-adds of registers, over a memory of its own that it hardly touches. */
import { type BuildName, firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import { instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { peakLoop } from '@lockstep/shared/kernels/peak.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { workerData } from 'piscina';

/** What every thread of a trial is given. */
export interface CoreThreadData {
  readonly build: BuildName;
  readonly module: WebAssembly.Module;
}

/** A tenth of a millisecond, or so: the clock is looked at in between. */
const iterationsAtATime = 2_000;

const { build, module } = workerData as CoreThreadData;
const { memory } = Arena.allocate(firstFreeByte + 4096);
const loop = peakLoop(build, instantiateKernels(module, memory), memory);

/** Computes for so many milliseconds. @returns operations a second */
export default function compute(milliseconds: number): number {
  const begun = performance.now();
  const end = begun + milliseconds;
  let iterations = 0;
  let now = begun;
  do {
    loop.run(iterationsAtATime);
    iterations += iterationsAtATime;
    now = performance.now();
  } while (now < end);
  return (iterations * loop.flopsPerIteration) / ((now - begun) / 1000);
}
