/** Timing one function: warmed up until the engine has settled, then sampled by tinybench. */
import { Bench } from 'tinybench';

/**
 * Repeats `work` until its speed stands still: WebAssembly starts in the baseline compiler and changes to the
 * optimized code while it runs. At least `least` ms, then until two windows agree within a tenth, at most 2 s.
 */
function settle(work: () => void, least: number): void {
  const start = performance.now();
  let before = Number.POSITIVE_INFINITY;
  for (;;) {
    const windowStart = performance.now();
    let runs = 0;
    do {
      work();
      runs++;
    } while (performance.now() - windowStart < least / 4);
    const now = performance.now();
    const each = (now - windowStart) / runs;
    const settled = Math.abs(each - before) < 0.1 * each;
    if (now - start > 2000 || (settled && now - start > least)) return;
    before = each;
  }
}

/** Milliseconds that this thread has spent on a processor; the wall clock where the engine cannot tell. */
function processorTime(): number {
  // Node 22 has no such function, or only from some minor version on.
  const usage = process.threadCpuUsage?.();
  return usage ? (usage.user + usage.system) / 1000 : performance.now();
}

export interface Duration {
  /** Wall clock, median of the samples. */
  readonly medianMs: number;
  /**
   * Processor time of this thread, mean of all samples: hardly affected by other processes on the same machine. It is
   * counted in steps of some milliseconds, so only its sum over all samples is exact to a few percent.
   */
  readonly processorMs: number;
}

/** The time of one call of `work`, over about `time` ms of samples. */
export function measure(work: () => void, time: number): Duration {
  settle(work, time / 2);
  // Short work is repeated inside a sample, so that reading the clock stays far below a percent.
  const start = performance.now();
  work();
  const repeats = Math.max(1, Math.round(0.2 / (performance.now() - start + 1e-4)));
  const bench = new Bench({ time, iterations: 5, warmup: false });
  bench.add('work', () => {
    for (let i = 0; i < repeats; i++) work();
  });
  const before = processorTime();
  const [task] = bench.runSync();
  const spent = processorTime() - before;
  const result = task?.result;
  if (result?.state !== 'completed') throw new Error('a benchmark did not complete');
  const calls = result.latency.samplesCount * repeats;
  return { medianMs: result.latency.p50 / repeats, processorMs: spent / calls };
}
