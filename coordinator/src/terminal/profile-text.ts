/** What `lockstep bench --profile` adds: limits, roofs, and a row for each kernel and shape. Pure. */
import Table from 'cli-table3';
import type { MemoryRoof } from '../metrics/roofs.ts';
import type { KernelRow, TimeProfile } from '../metrics/time-profile.ts';
import { drawBar } from './bar-line.ts';
import { asBytes, asRate, inPercent } from './format.ts';

const plain = { style: { head: [], border: [], compact: true } };

/** Rows that are shown; the others are told of in one line. */
const mostRows = 30;

/** Columns that a shape may take. */
const shapeWidth = 44;

/** As two tables. */
export function profileText({ roofs, workingSet, limits, kernels }: TimeProfile): string {
  const shares = new Table({
    ...plain,
    head: ['what limits it', 'share', ''],
    colAligns: ['left', 'right', 'left'],
  });
  const largest = limits[0]?.share ?? 1;
  for (const { name, share } of limits) shares.push([name, inPercent(share), drawBar(share / largest, 24)]);
  const rows = new Table({
    ...plain,
    head: ['kernel', 'shapes', 'calls', 'share', 'GFLOP/s', 'GB/s', 'limit'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'left'],
  });
  for (const row of kernels.slice(0, mostRows)) rows.push(cellsOf(row));
  const rest = kernels.slice(mostRows);
  const restShare = rest.reduce((sum, { share }) => sum + share, 0);
  return [
    shares.toString(),
    `one thread at most: ${roofs.gigaflops.toFixed(0)} GFLOP/s in registers; additions over ${roofs.memory.map(roofText).join(', ')}`,
    `a rank goes through ${asBytes(workingSet)} for a shard, so its memory is as fast as the nearest of these sizes`,
    'calls of a step on all threads; Winograd counts the operations of the direct convolution',
    rows.toString(),
    ...(rest.length > 0 ? [`${rest.length} more: ${inPercent(restShare)}`] : []),
  ].join('\n');
}

function roofText({ bytes, gigabytesPerSecond }: MemoryRoof): string {
  return `${asBytes(bytes)} ${gigabytesPerSecond.toFixed(0)} GB/s`;
}

function cellsOf({ name, shapes, calls, share, gigaflops, gigabytes, limit }: KernelRow): string[] {
  const shown = shapes.length > shapeWidth ? `${shapes.slice(0, shapeWidth - 1)}…` : shapes;
  const each = calls >= 10 || Number.isInteger(calls) ? calls.toFixed(0) : calls.toFixed(1);
  return [name, shown, each, inPercent(share), asRate(gigaflops), asRate(gigabytes), limit];
}
