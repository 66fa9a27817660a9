/** The report of `lockstep bench` as tables. Pure. */
import Table from 'cli-table3';
import type { BenchmarkReport } from '../metrics/benchmark.ts';
import { drawBar } from './bar-line.ts';
import { asRate, inPercent } from './format.ts';
import { profileText } from './profile-text.ts';

const plain = { style: { head: [], border: [], compact: true } };

/** Throughput by threads, then where the time goes: by group, and kernel by kernel where that was asked for. */
export function benchmarkText(report: BenchmarkReport): string {
  const { model, dataset, batchSize, shardsPerStep, kernels, kernelsReason, rounds } = report;
  const { figures, profile, details } = report;
  const speeds = new Table({
    ...plain,
    head: ['threads', 'images/s', 'speed-up', 'efficiency', 'cores give', 'of that'],
    colAligns: ['right', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const { threads, imagesPerSecond, speedup, efficiency, coresGive } of figures) {
    speeds.push([
      String(threads),
      asRate(imagesPerSecond),
      `${speedup.toFixed(2)}x`,
      inPercent(efficiency),
      `${coresGive.toFixed(2)}x`,
      inPercent(speedup / coresGive),
    ]);
  }
  const shares = new Table({
    ...plain,
    head: [`time of ${figures.at(-1)?.threads ?? 1} threads`, 'share', ''],
    colAligns: ['left', 'right', 'left'],
  });
  const largest = profile[0]?.share ?? 1;
  for (const { name, share } of profile) {
    shares.push([name, inPercent(share), drawBar(share / largest, 24)]);
  }
  return [
    `${model}, ${dataset}: batch ${batchSize} in ${shardsPerStep} shards; medians of ${rounds} alternating rounds`,
    `kernels ${kernels}: ${kernelsReason}`,
    speeds.toString(),
    'cores give: the same threads if they shared nothing and touched no memory, measured in turn with the steps',
    shares.toString(),
    ...(details ? [profileText(details)] : []),
  ].join('\n');
}
