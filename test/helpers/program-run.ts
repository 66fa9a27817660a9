/** Executes compiled programs with the float32 kernels of one build, as a rank does. */
import { type BuildName, buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { instantiateKernels, type KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import type { Program, Step } from '@lockstep/shared/model/program.ts';
import { placeWeights } from '@lockstep/shared/model/weight-units.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import { execute } from '@lockstep/worker/rank/profile.ts';
import type { ProgramInput } from './reference-program.ts';

/** Every test program fits; programs of a file run one after the other in the same arena, as on a rank. */
const arenaBytes = 2 ** 25;

const bound = new Map<BuildName, { arena: Arena; kernels: KernelInstance }>();
for (const build of buildNames) {
  const arena = Arena.allocate(arenaBytes);
  bound.set(build, { arena, kernels: instantiateKernels(await compileKernels(build), arena.memory) });
}

export interface FloatResult {
  readonly lossSum: number;
  readonly correct: number;
  readonly gradients: Float32Array;
  readonly moments: Float64Array;
  readonly predictions: readonly number[];
}

/** A quiet NaN whose payload tells where it came from. */
const garbageWord = 0x7fc0dead;

/** Fills everything from the start of the program's pool, and optionally its packed weights, with NaNs. */
export function spoil(program: Program, build: BuildName, from: 'prepared' | 'pool' = 'pool'): void {
  const { arena } = bound.get(build) as { arena: Arena };
  arena.integers.fill(garbageWord, program.regions[from] / 4);
}

/** Called after each call of forward and backward. */
export type AfterCall = (step: Step, arena: Arena) => void;

/** Makes the calls of a shared run in place of the program's own. */
export type RunSharing = (index: number, kernels: KernelInstance) => void;

/** Loads, prepares and runs a program. */
export function runProgram(
  program: Program,
  build: BuildName,
  input: ProgramInput,
  after: AfterCall | null = null,
  share: RunSharing | null = null,
): FloatResult {
  const { arena, kernels } = bound.get(build) as { arena: Arena; kernels: KernelInstance };
  if (program.arenaBytes > arenaBytes) throw new Error(`${program.model.name} needs a larger arena`);
  const { regions, input: places, model, layout, shardSize } = program;
  arena.float32(regions.pixelTable, input.pixelTable.length).set(input.pixelTable);
  arena.int32(places.labels, shardSize).set(input.labels);
  arena.bytes.set(input.images, places.bytes);
  const { height, width, channels } = model.images;
  for (let n = 0; n < shardSize; n++) {
    const place = [places.images, places.imagesHalo, n, height, width, channels] as const;
    kernels.loadImage(places.bytes, n, ...place, 0, 0, 0, regions.pixelTable);
  }
  for (const unit of program.prepare) {
    placeWeights(unit, input.weights, arena.floats);
    execute(unit.steps, kernels);
  }
  const passed = new Float32Array(program.mode === 'train' ? layout.parameterCount : 0);
  for (const [at, step] of [...program.forward, ...program.backward].entries()) {
    const index = share === null ? -1 : program.sharedRuns.findIndex(({ from, to }) => from <= at && at < to);
    if (index < 0) execute([step], kernels);
    else if (program.sharedRuns[index]?.from === at) share?.(index, kernels);
    for (const { from, to, place, calls } of program.pieces) {
      if (program.forward.length + calls === at + 1) passed.set(arena.float32(place, to - from), from);
    }
    after?.(step, arena);
  }
  const totals = arena.float64(regions.totals, 2);
  return {
    lossSum: totals[0] as number,
    correct: totals[1] as number,
    // Where parameters pass, the gradient is never there as a whole.
    gradients:
      regions.gradients === 0 ? passed : Float32Array.from(arena.float32(regions.gradients, passed.length)),
    // Evaluation leaves none: there lies what was there before.
    moments: Float64Array.from(
      arena.float64(regions.moments, program.mode === 'train' ? 2 * layout.batchNormChannels : 0),
    ),
    predictions: [...arena.int32(places.predictions, shardSize)],
  };
}

/** All that a run leaves, as words: equal words are equal bits. */
export function resultWords(result: FloatResult): Float32Array {
  const { lossSum, correct, moments, predictions, gradients } = result;
  const doubles = new Float64Array([lossSum, correct, ...moments, ...predictions]);
  const words = new Uint32Array(2 * doubles.length + gradients.length);
  words.set(new Uint32Array(doubles.buffer));
  words.set(new Uint32Array(gradients.buffer), 2 * doubles.length);
  return new Float32Array(words.buffer);
}
