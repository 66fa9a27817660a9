/** What others leave of this machine: shares of a core that threads of ours get when all cores are wanted. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/** Computes for a while; answers with its processor time as a share of that while. */
const spinner = `
const { parentPort, workerData } = require('node:worker_threads');
const begun = performance.now();
const before = process.threadCpuUsage();
while (performance.now() - begun < workerData);
const { user, system } = process.threadCpuUsage(before);
parentPort.postMessage((user + system) / 1000 / (performance.now() - begun));
`;

/**
 * Threads of others that want a core all the time, as a scheduler that is fair to threads lets us feel them: ours, one
 * on each core, get cores/(cores + others) of one.
 */
export async function measureOthers(seconds: number, cores = availableParallelism()): Promise<number> {
  const shares = await Promise.all(
    Array.from({ length: cores }, () => {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      const worker = new Worker(spinner, { eval: true, workerData: 1000 * seconds });
      worker.once('message', resolve);
      worker.once('error', reject);
      return promise;
    }),
  );
  return othersOf(shares.reduce((a, b) => a + b, 0) / cores, cores);
}

/** Pure. @param share of a core, 0..1 */
export function othersOf(share: number, cores: number): number {
  return cores / Math.min(1, Math.max(1e-3, share)) - cores;
}
