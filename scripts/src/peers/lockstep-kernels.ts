/** Lockstep's kernels on this thread, timed one operation at a time. */
import { type BuildName, firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import { instantiateKernels, type KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import { peakLoop } from '@lockstep/shared/kernels/peak.ts';
import { chooseKernels } from '@lockstep/worker/rank/kernel-choice.ts';
import { measure } from '../bench/measure.ts';
import { type Algorithm, kernelCall } from './kernel-calls.ts';
import { type OperationCase, operationFlops } from './kernel-shapes.ts';
import type { ClockName } from './onednn-process.ts';

const arenaPages = 4096;
const peakIterations = 100_000;

export class LockstepKernels {
  readonly build: BuildName;
  private readonly instance: KernelInstance;
  private readonly memory: WebAssembly.Memory;

  private constructor(build: BuildName, module: WebAssembly.Module) {
    this.build = build;
    this.memory = new WebAssembly.Memory({ initial: arenaPages, maximum: arenaPages, shared: true });
    this.instance = instantiateKernels(module, this.memory);
  }

  /** The build that a training run would choose here. @throws LockstepError as `chooseKernels` */
  static async open(): Promise<LockstepKernels> {
    const { build, module } = await chooseKernels('fma');
    return new LockstepKernels(build, module);
  }

  /** GFLOP/s of an operation, over about so many milliseconds; null when the algorithm does not do it. */
  rate(entry: OperationCase, algorithm: Algorithm, milliseconds: number, clock: ClockName): number | null {
    let top = firstFreeByte;
    const made = kernelCall(entry, algorithm, (bytes) => {
      const offset = top;
      top += Math.ceil(bytes / 64) * 64 + 64;
      fill(new Float32Array(this.memory.buffer, offset, Math.ceil(bytes / 4)));
      return offset;
    });
    if (made === null) return null;
    const run = this.instance[made.kernel];
    return gigaflops(operationFlops(entry), () => void run(...made.values), milliseconds, clock);
  }

  /** GFLOP/s of multiplying and adding in registers alone. */
  registerRate(milliseconds: number, clock: ClockName): number {
    const loop = peakLoop(this.build, this.instance, this.memory);
    const work = () => loop.run(peakIterations);
    return gigaflops(loop.flopsPerIteration * peakIterations, work, milliseconds, clock);
  }
}

function gigaflops(flops: number, work: () => void, milliseconds: number, clock: ClockName): number {
  const { medianMs, processorMs } = measure(work, milliseconds);
  return flops / (clock === 'wall' ? medianMs : processorMs) / 1e6;
}

/** Small values around zero, none subnormal: as `onednn/kernels.cpp` fills its buffers. */
function fill(floats: Float32Array): void {
  for (let i = 0; i < floats.length; i++) floats[i] = ((i * 7) % 11) / 10 - 0.5;
}
