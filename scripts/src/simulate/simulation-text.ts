/** Predictions as a terminal table and as Markdown. Pure. */
import Table from 'cli-table3';
import type { CheckRow } from './check.ts';
import type { Cell, ScenarioOptions } from './scenarios.ts';
import type { Calibration } from './measure/calibration.ts';
import type { Workload } from './workloads.ts';

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** `84 % compute`: efficiency, and what holds it back. */
function cellText({ efficiency, bottleneck }: Cell): string {
  return `${percent(efficiency)} ${bottleneck}`;
}

function heads(options: ScenarioOptions): string[] {
  return ['nodes', 'batch', ...options.gigabits.map((gigabits) => `${gigabits} Gbit/s`)];
}

/** One row a number of nodes, one column a bandwidth. */
function rows(
  cells: readonly Cell[],
  workload: Workload,
  { nodeCounts, gigabits }: ScenarioOptions,
): string[][] {
  return nodeCounts.map((nodes) => {
    const own = cells.filter((cell) => cell.workload === workload.name && cell.nodes === nodes);
    const texts = gigabits.map((rate) => {
      const cell = own.find((one) => one.gigabits === rate);
      return cell === undefined ? '' : cellText(cell);
    });
    return [String(nodes), String(own[0]?.batch ?? ''), ...texts];
  });
}

/** What a reader must know to believe the figures. */
export function premises(calibration: Calibration, workload: Workload, options: ScenarioOptions): string {
  const { threadsPerNode, shardsPerThread, imagesPerShard, spread, latency, bytesPerFloat } = options;
  const gigabyte = (seconds: number) => `${(seconds * 1e9).toFixed(2)} s/GB`;
  const { parameters, multiplyAdds, note } = workload;
  return [
    `${workload.title}: ${parameters} parameters, ${(multiplyAdds / 1e9).toFixed(2)}e9 multiply-adds forward; ${note}.`,
    `Measured here with ${calibration.model}: ${(1000 * calibration.imageSeconds).toFixed(1)} ms an image and thread; reduction ${gigabyte(calibration.reduceByteSeconds)} a summand, optimizer ${gigabyte(calibration.updateByteSeconds)}; encoding ${gigabyte(calibration.encodeByteSeconds)}, sending ${gigabyte(calibration.sendByteSeconds)} and receiving ${gigabyte(calibration.receiveByteSeconds)} at the coordinator, ${gigabyte(calibration.nodeSendByteSeconds)} and ${gigabyte(calibration.nodeReceiveByteSeconds)} at a node; loopback ${(calibration.loopback / 1e6).toFixed(0)} MB/s; an image takes ${percent(calibration.crowding - 1)} more while all cores compute, and ${percent(calibration.switching - 1)} more than that where processes take turns on them.`,
    `Nodes of ${threadsPerNode} such threads, ${shardsPerThread} shards of ${imagesPerShard} images a thread, ${bytesPerFloat} bytes a float, ${1000 * latency} ms one way, speeds within ${percent(spread)}.`,
  ].join('\n');
}

export function terminalText(cells: readonly Cell[], workload: Workload, options: ScenarioOptions): string {
  const table = new Table({
    style: { head: [], border: [], compact: true },
    head: heads(options),
    colAligns: ['right', 'right'],
  });
  table.push(...rows(cells, workload, options));
  return table.toString();
}

export function markdownText(cells: readonly Cell[], workload: Workload, options: ScenarioOptions): string {
  const line = (texts: readonly string[]) => `| ${texts.join(' | ')} |`;
  const names = heads(options);
  return [
    `**${workload.title}: predicted efficiency, and what limits it**`,
    '',
    line(names),
    line(names.map((_, i) => (i < 2 ? '---:' : '---'))),
    ...rows(cells, workload, options).map(line),
    '',
  ].join('\n');
}

export function checkText(checks: readonly CheckRow[]): string {
  const lines = checks.map((row) => {
    const { model, nodes, predicted, measured, ratio, ratios, pairedRatio, workRatio, met } = row;
    const figures = `predicted ${predicted.toFixed(1)}, measured ${measured.toFixed(1)} images/s`;
    const rounds = `rounds ${ratios.map((one) => one.toFixed(2)).join(', ')}, their median ${pairedRatio.toFixed(2)}`;
    const work = workRatio === null ? '' : `; of processor time ${workRatio.toFixed(2)}`;
    const around = `others wanted ${row.others.toFixed(1)} cores; taken over ${row.stolen} times`;
    return `${model}, ${nodes} nodes on loopback: ${figures}, ratio of medians ${ratio.toFixed(2)}: ${met ? 'within' : 'NOT within'} 15 % (${rounds}${work}; ${around})`;
  });
  const load = checks[0]?.load ?? 0;
  return `${lines.join('\n')}\nload average at the end, all of it included: ${load.toFixed(1)}`;
}
