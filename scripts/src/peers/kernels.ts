/**
 * Lockstep's kernels against oneDNN, one thread, round by round: matrix product, and 3x3 convolutions in all passes.
 * Rates are effective: the direct algorithm's operations divided by the time, whatever computes it.
 *
 *   npm run peers:kernels -- [--rounds N] [--time MS] [--only TEXT] [--quick] [--clock wall|processor]
 *                            [--vectors avx2] [--markdown] [--json]
 *
 * Without oneDNN it says how to get it and measures Lockstep alone. LOCKSTEP_KERNELS=narrow measures the 128-bit build.
 */
import { parseArgs } from 'node:util';
import { standardOutput } from '@lockstep/coordinator/terminal/output.ts';
import { ProgressBar } from '@lockstep/coordinator/terminal/progress-bar.ts';
import { limitFrom } from './comparison-flags.ts';
import { algorithms, usedAlgorithm } from './kernel-calls.ts';
import {
  kernelMarkdown,
  kernelTable,
  type OperationFigures,
  operationFigures,
  productLine,
} from './kernel-figures.ts';
import { type OperationCase, operationCases, operationTitle } from './kernel-shapes.ts';
import { LockstepKernels } from './lockstep-kernels.ts';
import { machineLine } from './machine.ts';
import { buildOnednn } from './onednn-build.ts';
import { OnednnProcess } from './onednn-process.ts';
import { type Missing, missingLine } from './peer-discovery.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string' },
    time: { type: 'string' },
    only: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    vectors: { type: 'string' },
    clock: { type: 'string', default: 'wall' },
    markdown: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 5));
const time = Number(flags.time ?? (flags.quick ? 20 : 100));
const limit = flags.vectors === undefined ? null : limitFrom(flags.vectors);
const clock = flags.clock === 'processor' ? 'processor' : 'wall';
if (!(Number.isInteger(rounds) && rounds > 0 && time > 0)) {
  throw new Error('--rounds is a positive integer, --time a positive number of milliseconds');
}

interface Onednn {
  readonly process: OnednnProcess | null;
  readonly missing: Missing | null;
}

async function startOnednn(): Promise<Onednn> {
  const built = await buildOnednn();
  if ('missing' in built) return { process: null, missing: built.missing };
  return { process: await OnednnProcess.start(built.program, limit), missing: null };
}

/** Every operation in every round: oneDNN and ours in turn, one at a time. */
async function measureAll(
  cases: readonly OperationCase[],
  ours: LockstepKernels,
  onednn: OnednnProcess | null,
): Promise<{ readonly figures: readonly OperationFigures[]; readonly registers: readonly number[] }> {
  const errors = standardOutput(process.stderr);
  const bar = new ProgressBar(errors);
  const registers: number[] = [];
  const samples = cases.map((entry) => {
    const rates: Record<'onednn' | 'direct' | 'winograd', number[]> = {
      onednn: [],
      direct: [],
      winograd: [],
    };
    return { entry, used: usedAlgorithm(entry), ...rates };
  });
  for (let round = 0; round < rounds; round++) {
    registers.push(ours.registerRate(time, clock));
    for (const [i, sample] of samples.entries()) {
      const { entry } = sample;
      const done = (round + i / samples.length) / rounds;
      const parts = [{ text: operationTitle(entry), rank: 0 }];
      if (errors.isTty) bar.show({ label: 'kernels', done, total: 1, parts });
      if (onednn) sample.onednn.push(await onednn.rate(entry, time, clock));
      for (const algorithm of algorithms) {
        const rate = ours.rate(entry, algorithm, time, clock);
        if (rate !== null) sample[algorithm].push(rate);
      }
    }
  }
  bar.clear();
  return { figures: samples.map((sample) => operationFigures(sample, registers)), registers };
}

const ours = await LockstepKernels.open();
const onednn = await startOnednn();
const chosen = operationCases.filter((entry) => operationTitle(entry).includes(flags.only));
const { figures, registers } = await measureAll(chosen, ours, onednn.process).finally(() =>
  onednn.process?.stop(),
);
const own = `Lockstep, ${ours.build} kernels, Node ${process.versions.node}`;
const versions = onednn.process ? `${onednn.process.version}; ${own}` : own;
if (flags.json) {
  const lines: object[] = figures.map((found) => ({ type: 'kernel', ...found }));
  if (onednn.missing) lines.push({ type: 'missing', ...onednn.missing });
  lines.push({ type: 'result', rounds, time, clock, versions, machine: machineLine(), registers });
  for (const line of lines) console.log(JSON.stringify(line));
} else {
  console.log(
    `${rounds} alternating rounds of ${time} ms, one thread, ${clock} clock; ${versions}; ${machineLine()}`,
  );
  console.log(flags.markdown ? `\n${kernelMarkdown(figures)}\n` : kernelTable(figures));
  console.log(`register-only loop: ${Math.max(...registers).toFixed(0)} GFLOP/s`);
  console.log(productLine(figures));
  if (onednn.missing) console.log(missingLine(onednn.missing));
}
