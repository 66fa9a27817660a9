/** What this machine can do at most: arithmetic that touches no memory, and memory with hardly any arithmetic. */
import { type BuildName, firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import { instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { peakLoop } from '@lockstep/shared/kernels/peak.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';

/** Additions that stream through so much memory. */
export interface MemoryRoof {
  /** That one call reads and writes. */
  readonly bytes: number;
  readonly gigabytesPerSecond: number;
}

/** Of one thread while the others are idle. */
export interface Roofs {
  /** Multiply-adds of registers, two operations each. */
  readonly gigaflops: number;
  /** By size: what stays in a core's own cache, in the shared one, in neither. */
  readonly memory: readonly MemoryRoof[];
}

/** Bytes of three buffers together. */
const workingSets = [3 * 2 ** 17, 3 * 2 ** 21, 3 * 2 ** 25] as const;

const peakIterations = 100_000;

/** The least time of one call: what disturbs one is no roof. @param enough milliseconds of calls */
function leastSeconds(work: () => void, enough: number): number {
  let least = Number.POSITIVE_INFINITY;
  // The engine compiles anew while it runs; the first half of the calls lets it.
  for (const until of [performance.now() + enough / 2, performance.now() + enough]) {
    least = Number.POSITIVE_INFINITY;
    do {
      const begun = performance.now();
      work();
      least = Math.min(least, performance.now() - begun);
    } while (performance.now() < until);
  }
  return least / 1000;
}

/** Measures on this thread, in about a second. */
export function measureRoofs(build: BuildName, module: WebAssembly.Module): Roofs {
  const arena = Arena.allocate(firstFreeByte + Math.max(...workingSets));
  const kernels = instantiateKernels(module, arena.memory);
  const loop = peakLoop(build, kernels, arena.memory);
  const peak = leastSeconds(() => loop.run(peakIterations), 200);
  const memory = workingSets.map((bytes) => {
    const [a, b, c] = [0, 1, 2].map((i) => firstFreeByte + (i * bytes) / 3) as [number, number, number];
    const floats = bytes / 12;
    // A sample of less than a tenth of a millisecond would measure the clock.
    const repeats = Math.max(1, Math.round(2 ** 22 / bytes));
    const seconds = leastSeconds(() => {
      for (let i = 0; i < repeats; i++) kernels.add(a, b, c, floats);
    }, 250);
    return { bytes, gigabytesPerSecond: (repeats * bytes) / seconds / 1e9 };
  });
  return { gigaflops: (loop.flopsPerIteration * peakIterations) / peak / 1e9, memory };
}
