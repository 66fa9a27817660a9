/** What the comparison with oneDNN found, as ratios, tables and JSON objects. All pure. */
import Table from 'cli-table3';
import { median, ratioOf } from './figures.ts';
import type { Algorithm } from './kernel-calls.ts';
import { type OperationCase, operationTitle, productRegisterShare } from './kernel-shapes.ts';

/** One operation after all rounds: GFLOP/s, round by round; empty where nothing was measured. */
export interface OperationSamples {
  readonly entry: OperationCase;
  /** What a training program takes for it. */
  readonly used: Algorithm;
  readonly onednn: readonly number[];
  readonly direct: readonly number[];
  readonly winograd: readonly number[];
}

export interface OperationFigures {
  readonly kind: OperationCase['kind'];
  readonly title: string;
  readonly used: Algorithm;
  /** Medians, GFLOP/s; null where nothing was measured. */
  readonly onednn: number | null;
  readonly direct: number | null;
  readonly winograd: number | null;
  /** Lockstep's rate as a share of the register-only loop's; above 1 where Winograd saves multiplications. */
  readonly registerShare: number;
  /** The used kernel against oneDNN; null without oneDNN. */
  readonly ratio: number | null;
  readonly target: number | null;
  readonly met: boolean | null;
}

/** @param registers GFLOP/s of the register-only loop, round by round */
export function operationFigures(samples: OperationSamples, registers: readonly number[]): OperationFigures {
  const { entry, used, onednn } = samples;
  const rateOf = (rates: readonly number[]) => (rates.length === 0 ? null : median(rates));
  const ours = samples[used];
  const ratio = onednn.length === 0 ? null : ratioOf(ours, onednn);
  const { target } = entry;
  return {
    kind: entry.kind,
    title: operationTitle(entry),
    used,
    onednn: rateOf(onednn),
    direct: rateOf(samples.direct),
    winograd: rateOf(samples.winograd),
    registerShare: ratioOf(ours, registers),
    ratio,
    target,
    met: ratio === null || target === null ? null : ratio >= target,
  };
}

const heads = ['GFLOP/s', 'oneDNN', 'direct', 'Winograd', 'of registers', 'Lockstep / oneDNN', 'target', ''];

function cells(figures: OperationFigures): string[] {
  const { title, onednn, direct, winograd, registerShare, ratio, target, met } = figures;
  const rate = (value: number | null) => (value === null ? '' : value.toFixed(0));
  return [
    title,
    rate(onednn),
    rate(direct),
    rate(winograd),
    `${(100 * registerShare).toFixed(0)} %`,
    ratio === null ? '' : ratio.toFixed(2),
    target === null ? '' : String(target),
    met === null ? '' : met ? 'met' : 'MISSED',
  ];
}

export function kernelTable(figures: readonly OperationFigures[]): string {
  const table = new Table({
    style: { head: [], border: [], compact: true },
    head: heads,
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'left'],
  });
  table.push(...figures.map(cells));
  return table.toString();
}

export function kernelMarkdown(figures: readonly OperationFigures[]): string {
  const line = (texts: readonly string[]) => `| ${texts.join(' | ')} |`;
  const rule = '| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |';
  return [line(heads), rule, ...figures.map((found) => line(cells(found)))].join('\n');
}

/** The other target of the matrix product: its share of the register-only rate; empty when it was not measured. */
export function productLine(figures: readonly OperationFigures[]): string {
  const found = figures.find(({ kind }) => kind === 'product');
  if (!found) return '';
  const share = found.registerShare;
  const met = share >= productRegisterShare ? 'met' : 'MISSED';
  return `${found.title}: ${share.toFixed(2)} of the register-only rate, target at least ${productRegisterShare}: ${met}`;
}
