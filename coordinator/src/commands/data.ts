/** `lockstep data NAME`: fetches, verifies and caches a data set. */

import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { describeDataset } from '@lockstep/worker/data/catalogue.ts';
import { fetchDataset } from '@lockstep/worker/data/fetch-dataset.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import type { Command } from 'commander';
import { interruptible } from '../interruption.ts';
import { dataDisplay } from '../terminal/data-display.ts';
import { asDuration, inThousands } from '../terminal/format.ts';
import { writeJsonLine } from '../terminal/json-lines.ts';
import { type Output, standardOutput } from '../terminal/output.ts';
import { addJsonFlag } from './options.ts';

interface DataFlags {
  readonly from?: string;
  readonly refetch?: boolean;
  readonly json?: boolean;
}

/** Last line of `lockstep data --json`. */
interface DataReport {
  readonly type: 'result';
  readonly dataset: string;
  readonly title: string;
  readonly classes: number;
  /** Height, width, channels. */
  readonly shape: readonly number[];
  readonly trainSamples: number;
  readonly testSamples: number;
  readonly trainSha256: string;
  readonly testSha256: string;
  readonly seconds: number;
}

/** Adds the command to the program. */
export function registerData(program: Command): void {
  const command = program
    .command('data')
    .description('fetch, verify and cache a data set')
    .argument('<name>', 'data set, for example cifar10')
    .option('--from <path>', 'take it from files or archives on this machine')
    .option('--refetch', 'fetch it again, whatever is in the cache');
  addJsonFlag(command).action(async (name: string, flags: DataFlags) => {
    process.exitCode = await runData(name, flags);
  });
}

async function runData(name: string, flags: DataFlags): Promise<number> {
  const started = performance.now();
  const output = standardOutput();
  const json = flags.json === true;
  describeDataset(name);
  const interruption = interruptible(() => undefined);
  const progress = dataDisplay(name, output, json);
  const common = { onProgress: progress.onProgress, signal: interruption.signal };
  try {
    await fetchDataset(name, {
      ...common,
      ...(flags.from === undefined ? {} : { from: flags.from }),
      ...(flags.refetch === true ? { refetch: true } : {}),
    });
    const dataset = await openDataset(name, common);
    progress.end();
    const report = describe(dataset, (performance.now() - started) / 1000);
    if (json) writeJsonLine(output, report);
    else printReport(report, output);
    return 0;
  } catch (thrown) {
    progress.end();
    if (interruption.signal.aborted) return interruption.exitCode() ?? 1;
    throw thrown;
  } finally {
    interruption.dispose();
  }
}

function describe(dataset: Dataset, seconds: number): DataReport {
  return {
    type: 'result',
    dataset: dataset.name,
    title: dataset.title,
    classes: dataset.classes.length,
    shape: [dataset.height, dataset.width, dataset.channels],
    trainSamples: dataset.train.count,
    testSamples: dataset.test.count,
    trainSha256: dataset.train.sha256,
    testSha256: dataset.test.sha256,
    seconds,
  };
}

function printReport(report: DataReport, output: Output): void {
  const { trainSamples, testSamples, classes, shape } = report;
  output.write(
    `${output.style('bold', report.title)} is here and whole: ${inThousands(trainSamples)} training and ` +
      `${inThousands(testSamples)} test images of ${shape.join(' x ')} in ${classes} classes ` +
      `(${asDuration(report.seconds)})\n`,
  );
}
