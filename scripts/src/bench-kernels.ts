/**
 * Measures the kernels on one thread: first a multiply-add loop on registers, then every case of
 * `bench/kernel-cases.ts`, in GFLOP/s and percent of that loop, or in GB/s. Rates count the thread's processor time, so
 * that a busy machine hardly changes them; the duration is the wall clock's median.
 *
 *   npm run bench:kernels -- [--build fma-wide] [--only text] [--time ms] [--json]
 */
import { type BuildName, buildNames, firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import { instantiateKernels, type KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import { peakLoop } from '@lockstep/shared/kernels/peak.ts';
import { costOf } from '@lockstep/shared/kernels/table.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import type { KernelCase } from './bench/kernel-case.ts';
import { kernelCases } from './bench/kernel-cases.ts';
import { measure } from './bench/measure.ts';
import { choiceFlag, commandLine, numberFlag, readFlags } from './flags.ts';

const arenaPages = 4096;
const peakIterations = 200_000;
const { asked, only, time, json } = commandLine(() => {
  const { values } = readFlags({
    options: {
      build: { type: 'string' },
      only: { type: 'string', default: '' },
      time: { type: 'string', default: '300' },
      json: { type: 'boolean', default: false },
    },
  });
  const build = values.build === undefined ? null : choiceFlag('build', values.build, buildNames);
  return { asked: build, only: values.only, time: numberFlag('time', values.time), json: values.json };
});
const memory = new WebAssembly.Memory({ initial: arenaPages, maximum: arenaPages, shared: true });

interface Outcome {
  readonly kernel: string;
  readonly label: string;
  readonly group: string;
  readonly microseconds: number;
  readonly gflops: number;
  readonly gigabytes: number;
}

/** Places the case's buffers from the start of the arena, with values around zero and none subnormal, and times it. */
function outcome(instance: KernelInstance, entry: KernelCase): Outcome {
  let top = firstFreeByte;
  const made = entry.make((bytes, integers) => {
    const offset = top;
    top += Math.ceil(bytes / 64) * 64 + 64;
    if (top > memory.buffer.byteLength) throw new Error(`${entry.label}: the arena is too small`);
    const floats = new Float32Array(memory.buffer, offset, Math.ceil(bytes / 4));
    for (let i = 0; i < floats.length; i++) floats[i] = ((i * 7) % 11) / 10 - 0.5;
    if (integers) new Int32Array(memory.buffer, offset).set(integers);
    return offset;
  });
  const run = instance[made.kernel];
  const { medianMs, processorMs } = measure(() => run(...made.values), time);
  const { group, flops, bytes } = costOf(made);
  return {
    kernel: made.kernel,
    label: entry.label,
    group,
    microseconds: 1000 * medianMs,
    gflops: flops / processorMs / 1e6,
    gigabytes: bytes / processorMs / 1e6,
  };
}

/** GFLOP/s of the register-only loop. */
function peakRate(build: BuildName, instance: KernelInstance): number {
  const loop = peakLoop(build, instance, memory);
  const { processorMs } = measure(() => loop.run(peakIterations), 2 * time);
  return (loop.flopsPerIteration * peakIterations) / processorMs / 1e6;
}

const bindings = new Map<BuildName, KernelInstance>();
for (const build of buildNames) bindings.set(build, instantiateKernels(await compileKernels(build), memory));

/** The build whose matrix product is fastest here: whether 256-bit code pays is measured, never assumed. */
function fastestBuild(): BuildName {
  const trial = kernelCases[0] as KernelCase;
  const speeds = buildNames.map((build) => outcome(bindings.get(build) as KernelInstance, trial).gflops);
  return buildNames[speeds.indexOf(Math.max(...speeds))] as BuildName;
}

const build = asked ?? fastestBuild();
const instance = bindings.get(build) as KernelInstance;
const peak = peakRate(build, instance);

function print(found: Outcome): void {
  const isProduct = found.group === 'matrix product' || found.group.startsWith('convolution');
  const percent = (100 * found.gflops) / peak;
  if (json) {
    const relative = isProduct ? { percentOfRegisterRate: percent } : {};
    console.log(JSON.stringify({ build, ...found, ...relative }));
    return;
  }
  const speed = isProduct
    ? `${found.gflops.toFixed(1).padStart(8)} GFLOP/s ${percent.toFixed(0).padStart(4)} %`
    : `${found.gigabytes.toFixed(1).padStart(8)} GB/s`;
  const duration = `${found.microseconds.toFixed(1).padStart(10)} us`;
  console.log(`${found.kernel.padEnd(25)}${found.label.padEnd(38)}${duration}${speed}`);
}

function printPeak(label: string, rate: number): void {
  if (json) console.log(JSON.stringify({ build, kernel: 'registers only', label, gflops: rate }));
  else console.log(`${build}, registers only, ${label}: ${rate.toFixed(1)} GFLOP/s`);
}

printPeak('before', peak);
for (const entry of kernelCases) {
  const made = entry.make(() => firstFreeByte);
  if (`${made.kernel} ${entry.label}`.includes(only)) print(outcome(instance, entry));
}
// On a shared machine the clock may have moved meanwhile: percentages refer to the first figure.
printPeak('after', peakRate(build, instance));
