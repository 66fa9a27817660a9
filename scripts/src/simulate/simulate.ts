/** `npm run simulate --workspace scripts -- --help`: how fast a cluster would be, and what would hold it back. */
import { reportError } from '@lockstep/coordinator/terminal/error-report.ts';
import { writeJsonLine } from '@lockstep/coordinator/terminal/json-lines.ts';
import { standardOutput } from '@lockstep/coordinator/terminal/output.ts';
import { check } from './check.ts';
import { calibrate, type Calibration } from './measure/calibration.ts';
import { predictAll } from './scenarios.ts';
import { checkText, markdownText, premises, terminalText } from './simulation-text.ts';
import { type Flags, parseFlags, usage } from './simulation-flags.ts';
import { costsFor, resnet50, type Workload, zooWorkload } from './workloads.ts';

const output = standardOutput();
const errors = standardOutput(process.stderr);

async function simulate(flags: Flags): Promise<void> {
  const tell = (text: string) => errors.write(`measuring: ${text}\n`);
  const measure = () => calibrate(flags.model, flags.calibrationBatch, flags.seconds, tell);
  const calibration = await measure();
  const write = (object: object) => writeJsonLine(output, object as { type: string });
  if (flags.format === 'json') write({ type: 'calibration', ...calibration });
  if (flags.check) return await compare(flags, calibration, measure, tell, write);
  const own = zooWorkload(flags.model, calibration);
  const workloads: readonly Workload[] = [own, resnet50(own)];
  const { scenario } = flags;
  const cells = predictAll(workloads, (workload) => costsFor(workload, own, calibration), scenario);
  if (flags.format === 'json') {
    for (const cell of cells) write({ type: 'prediction', ...cell });
    write({ type: 'result', cells: cells.length, premises: { ...scenario } });
    return;
  }
  for (const workload of workloads) {
    const text = flags.format === 'markdown' ? markdownText : terminalText;
    output.write(`${text(cells, workload, scenario)}\n${premises(calibration, workload, scenario)}\n\n`);
  }
}

async function compare(
  flags: Flags,
  calibration: Calibration,
  measure: () => Promise<Calibration>,
  tell: (text: string) => void,
  write: (object: object) => void,
): Promise<void> {
  const options = {
    model: flags.model,
    batch: flags.checkBatch,
    shards: flags.checkShards,
    nodeCounts: [1, 2, 3],
    steps: flags.steps,
    rounds: flags.rounds,
  };
  const rows = await check(calibration, options, measure, tell);
  const missed = rows.filter(({ met }) => !met).length;
  if (flags.format === 'json') {
    for (const row of rows) write({ type: 'check', ...row });
    write({ type: 'result', missed });
  } else {
    output.write(`${checkText(rows)}\n`);
  }
  if (missed > 0) process.exitCode = 1;
}

try {
  const flags = parseFlags(process.argv.slice(2));
  if (flags.help) output.write(`${usage}\n`);
  else await simulate(flags);
} catch (thrown) {
  process.exitCode = reportError(thrown, process.argv.includes('--json'), output, errors);
}
