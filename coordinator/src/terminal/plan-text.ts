/** The report of `lockstep plan` as tables. Pure. */
import Table from 'cli-table3';
import type { PlanReport, PlanRow } from '../plan/program-table.ts';
import { asBytes, inPercent, inThousands } from './format.ts';

const plain = { style: { head: [], border: [], compact: true } };

/** Narrower terminals are shown no offsets: the lines would wrap. */
const widthForOffsets = 190;

/**
 * The program's calls, then sums by kind of kernel, then memory.
 *
 * @param columns width of the terminal; Infinity where nobody counts
 */
export function planText(report: PlanReport, columns: number): string {
  const title = `${report.model}, ${report.dataset}: shards of ${report.shardSize} images, ${inThousands(report.parameters)} parameters, ${giga(report.flops)} GFLOP a shard`;
  const wide = columns >= widthForOffsets;
  const note = wide
    ? []
    : [`(offsets in the arena: on a terminal of ${widthForOffsets} columns, in a file, or with --json)`];
  return [title, callTable(report.rows, wide), ...note, groupTable(report.rows), memoryLines(report)].join(
    '\n',
  );
}

function callTable(rows: readonly PlanRow[], withOffsets: boolean): string {
  const offsets = withOffsets ? ['offsets'] : [];
  const head = ['layer', 'kernel', 'shapes', 'calls', 'MFLOP', 'bytes', 'time', ...offsets];
  const colAligns = ['left', 'left', 'left', 'right', 'right', 'right', 'right', 'left'] as const;
  const table = new Table({ ...plain, head, colAligns: colAligns.slice(0, head.length) });
  let section = '';
  for (const row of rows) {
    if (row.section !== section) {
      section = row.section;
      table.push([{ content: headings[row.section], colSpan: head.length }]);
    }
    const places = Object.entries(row.offsets).map(
      ([name, offset]) => `${name}@${(offset / 1024).toFixed(0)}K`,
    );
    table.push([
      row.layer,
      row.kernel,
      row.shapes,
      String(row.calls),
      (row.flops / 1e6).toFixed(1),
      asBytes(row.bytes),
      inPercent(row.share),
      ...(withOffsets ? [places.join(' ')] : []),
    ]);
  }
  return table.toString();
}

const headings = {
  prepare: 'PREPARE (once for each step)',
  forward: 'FORWARD',
  backward: 'BACKWARD',
} as const;

function groupTable(rows: readonly PlanRow[]): string {
  const table = new Table({
    ...plain,
    head: ['kind of kernel', 'calls', 'GFLOP', 'bytes', 'time'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
  });
  const groups = [...new Set(rows.map((row) => row.group))];
  const sums = groups.map((group) => {
    const own = rows.filter((row) => row.group === group);
    const share = own.some((row) => row.share === null)
      ? null
      : own.reduce((sum, row) => sum + (row.share ?? 0), 0);
    const flops = own.reduce((sum, row) => sum + row.flops, 0);
    return {
      group,
      calls: own.reduce((sum, row) => sum + row.calls, 0),
      flops,
      bytes: own.reduce((sum, row) => sum + row.bytes, 0),
      share,
    };
  });
  for (const { group, calls, flops, bytes, share } of sums.toSorted((a, b) => b.flops - a.flops)) {
    table.push([group, String(calls), giga(flops), asBytes(bytes), inPercent(share)]);
  }
  return table.toString();
}

function memoryLines(report: PlanReport): string {
  const { arenaBytes, packedBytes, storeBytes, datasetBytes, totalBytes, threads, unsharedBytes } = report;
  return [
    `arena of one rank   ${asBytes(arenaBytes)} (activations would take ${asBytes(unsharedBytes)} if no space were used twice)`,
    `packed weights      ${asBytes(packedBytes)} (once for all ranks that share a memory)`,
    `store of the run    ${asBytes(storeBytes)} (weights and optimizer state twice, the shards' gradients)`,
    `images and labels   ${asBytes(datasetBytes)}`,
    `together            ${asBytes(totalBytes)} with ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
  ].join('\n');
}

function giga(flops: number): string {
  return (flops / 1e9).toFixed(2);
}
