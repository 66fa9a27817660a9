/** A comparison as a terminal table, as Markdown for the README and as JSON objects. All pure. */
import { asRate, inThousands } from '@lockstep/coordinator/terminal/format.ts';
import Table from 'cli-table3';
import type { Comparison } from './comparison.ts';
import { lockstepRatio, median, type Samples, type Verdict } from './figures.ts';
import { limitInWords, machineLine } from './machine.ts';
import { missingLine } from './peer-discovery.ts';

export const heads = ['training', 'cores', 'images/s', 'lowest-highest', 'peak memory', 'Lockstep / this'];

/** One row a peer: Lockstep first, then by cores and speed. */
export function rows(samples: readonly Samples[]): string[][] {
  const rank = ({ spec }: Samples) => (spec.engine === 'lockstep' ? 0 : 1);
  const ordered = samples.toSorted(
    (a, b) => a.spec.cores - b.spec.cores || rank(a) - rank(b) || median(b.rates) - median(a.rates),
  );
  return ordered.map((sample) => {
    const { spec, rates, peakBytes } = sample;
    const ratio = lockstepRatio(samples, sample);
    return [
      spec.title,
      String(spec.cores),
      asRate(median(rates)),
      rates.length > 1 ? `${asRate(Math.min(...rates))}-${asRate(Math.max(...rates))}` : '',
      peakBytes === null ? '?' : `${inThousands(peakBytes / 2 ** 20)} MiB`,
      ratio === null ? '' : `${asFactor(ratio)}`,
    ];
  });
}

/** `1.85x`, `2 300x`. */
export function asFactor(ratio: number): string {
  return ratio >= 100 ? `${asRate(ratio)}x` : `${ratio.toFixed(2)}x`;
}

/** `ResNet...` is the reader's word for it. */
export function modelTitle(model: string): string {
  return model.replace(/^resnet(\d+)$/, 'ResNet-$1');
}

function heading({ workload, rounds, seconds, warmUp, limit }: Comparison): string {
  const { model, batch } = workload;
  const medians = rounds === 1 ? 'one round' : `medians of ${rounds} alternating rounds`;
  return `${modelTitle(model)}, batch ${batch}: a training step (forward, backward, Adam), ${medians} of ${seconds} s after ${warmUp} s that do not count${limitInWords(limit)}`;
}

/** Every library once, with what it chose. */
export function versions(samples: readonly Samples[]): string[] {
  const chosen = samples.map(({ version, detail }) => (detail === '' ? version : `${version} (${detail})`));
  return [...new Set(chosen)];
}

/** A closing line: the ratio, its target, whether it is met. */
export function verdictLine({ title, against, ratio, target, bound, met }: Verdict): string {
  if (ratio === null) return `${title}: not measured`;
  const found = `${title}: ${ratio.toFixed(2)} (${against})`;
  if (target === null) return `${found}, no target`;
  return `${found}, target ${bound} ${target}: ${met ? 'met' : 'MISSED'}`;
}

export function terminalText(comparison: Comparison, closing: readonly Verdict[]): string {
  const { samples, missing } = comparison;
  const table = new Table({
    style: { head: [], border: [], compact: true },
    head: heads,
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right'],
  });
  table.push(...rows(samples));
  return [
    heading(comparison),
    table.toString(),
    ...versions(samples),
    machineLine(),
    ...missing.map(missingLine),
    ...closing.map(verdictLine),
    '',
  ].join('\n');
}

export function markdownText(comparison: Comparison, closing: readonly Verdict[]): string {
  const { samples, missing } = comparison;
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    `**${heading(comparison)}**`,
    '',
    line(heads),
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...rows(samples).map(line),
    '',
    `${[...versions(samples), machineLine()].join('; ')}.`,
    '',
    ...[...missing.map(missingLine), ...closing.map(verdictLine)].map((text) => `- ${text}`),
    '',
  ].join('\n');
}

/** One object for each peer, each missing one and each ratio. */
export function jsonObjects(comparison: Comparison, closing: readonly Verdict[]): Record<string, unknown>[] {
  const { workload, samples, missing } = comparison;
  const common = { model: workload.model, batch: workload.batch };
  return [
    ...samples.map((sample) => {
      const { spec, version, detail, rates, peakBytes } = sample;
      const { engine, title, cores, role } = spec;
      const figures = { imagesPerSecond: median(rates), rates, peakBytes };
      const ratio = lockstepRatio(samples, sample);
      return {
        type: 'peer',
        ...common,
        engine,
        title,
        cores,
        role,
        version,
        detail,
        ...figures,
        lockstepRatio: ratio,
      };
    }),
    ...missing.map((entry) => ({ type: 'missing', ...common, ...entry })),
    ...closing.map((verdict) => ({ type: 'ratio', ...common, ...verdict })),
  ];
}
