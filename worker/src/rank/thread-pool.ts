/** A piscina pool as ranks and core trials want it: all threads there from the start and for good, one task at a time each. */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';

/**
 * @param entry the module that a thread runs
 * @param more the data that every thread is given; tasks that a thread may have at a time, 1 when absent
 */
export function openPool(
  entry: URL,
  threads: number,
  more: { readonly workerData?: unknown; readonly concurrentTasksPerWorker?: number } = {},
): Piscina {
  return new Piscina({
    filename: fileURLToPath(entry),
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: 1,
    idleTimeout: Number.POSITIVE_INFINITY,
    // Atomics would block the thread between tasks, and its comlink port with it.
    atomics: 'disabled',
    recordTiming: false,
    ...more,
  });
}
