/**
 * Training steps of Lockstep and of other libraries, side by side in one run: `npm run peers -- --help`.
 *
 * Peers that are missing are listed with the reason; the exit code is 1 only when Lockstep itself fails.
 */
import { reportError } from '@lockstep/coordinator/terminal/error-report.ts';
import { writeJsonLine } from '@lockstep/coordinator/terminal/json-lines.ts';
import { standardOutput } from '@lockstep/coordinator/terminal/output.ts';
import { ProgressBar } from '@lockstep/coordinator/terminal/progress-bar.ts';
import { compare } from './comparison.ts';
import { type Flags, parseFlags, usage } from './comparison-flags.ts';
import { jsonObjects, markdownText, modelTitle, terminalText } from './comparison-text.ts';
import { memoryVerdict, type Verdict, verdicts } from './figures.ts';
import { machineLine } from './machine.ts';

const output = standardOutput();
const errors = standardOutput(process.stderr);

async function main({ workloads, options, memory, format }: Flags): Promise<void> {
  const bar = new ProgressBar(errors);
  const closing: Verdict[] = [];
  for (const workload of workloads) {
    const label = modelTitle(workload.model);
    const comparison = await compare(workload, options, (done, text) => {
      if (errors.isTty) bar.show({ label, done, total: 1, parts: [{ text, rank: 0 }] });
    }).finally(() => bar.clear());
    const { samples } = comparison;
    const found = memory ? [memoryVerdict(samples)] : verdicts(samples, workload.model);
    closing.push(...found);
    if (format === 'json') {
      for (const object of jsonObjects(comparison, found)) writeJsonLine(output, object as { type: string });
    } else {
      output.write(
        `${format === 'markdown' ? markdownText(comparison, found) : terminalText(comparison, found)}\n`,
      );
    }
  }
  if (format !== 'json') return;
  const { rounds, seconds, warmUp, limit } = options;
  const missed = closing.filter(({ met }) => met === false).length;
  const result = { type: 'result', rounds, seconds, warmUp, limit, machine: machineLine(), missed };
  writeJsonLine(output, result);
}

const json = process.argv.includes('--json');
try {
  const flags = parseFlags(process.argv.slice(2));
  if (flags.help) output.write(`${usage}\n`);
  else await main(flags);
} catch (thrown) {
  process.exitCode = reportError(thrown, json, output, errors);
}
