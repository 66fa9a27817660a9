/** Timing every call of a program, on this thread, over a synthetic shard. */
import { instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { initialise } from '@lockstep/shared/model/initialisation.ts';
import type { Program, Step } from '@lockstep/shared/model/program.ts';
import { placeWeights } from '@lockstep/shared/model/weight-units.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';

/** Times a program's calls: median of `rounds` passes after two that warm up; seconds, in program order. */
export function timeProgram(program: Program, module: WebAssembly.Module, rounds = 5): number[] {
  const arena = Arena.allocate(program.arenaBytes);
  const kernels = instantiateKernels(module, arena.memory);
  const { layout, regions, input, model, shardSize } = program;
  const weights = initialise(layout, 1);
  const { height, width, channels } = model.images;
  const { prepare, forward, backward } = program;
  const passes: number[][] = [];
  const table = arena.float32(regions.pixelTable, 256 * channels);
  table.forEach((_, i) => void (table[i] = ((i % 256) - 128) / 64));
  for (let round = -2; round < rounds; round++) {
    // The pool is used again within a pass, so input and weights are written anew each time.
    const bytes = arena.bytes.subarray(input.bytes, input.bytes + shardSize * height * width * channels);
    bytes.forEach((_, i) => void (bytes[i] = (i * 2654435761) >>> 24));
    for (let n = 0; n < shardSize; n++) {
      arena.integers[input.labels / 4 + n] = n % model.classes;
      const place = [input.images, input.imagesHalo, n, height, width, channels] as const;
      kernels.loadImage(input.bytes, n, ...place, 0, 0, 0, regions.pixelTable);
    }
    const time = ({ call }: Step): number => {
      const begun = performance.now();
      kernels[call.kernel](...call.values);
      return (performance.now() - begun) / 1000;
    };
    const packing = prepare.flatMap((unit) => {
      placeWeights(unit, weights, arena.floats);
      return unit.steps.map(time);
    });
    const times = [...packing, ...[...forward, ...backward].map(time)];
    if (round >= 0) passes.push(times);
  }
  return (passes[0] ?? []).map((_, i) => median(passes.map((pass) => pass[i] ?? 0)));
}

/** The middle value; the upper one of two. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
