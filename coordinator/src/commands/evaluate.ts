/** `lockstep evaluate CHECKPOINT`: accuracy, confusion matrix, figures of each class. */

import { availableParallelism } from 'node:os';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import type { Command } from 'commander';
import { readCheckpoint } from '../checkpoint/reader.ts';
import { locateCheckpoint } from '../checkpoint/search.ts';
import { interruptible } from '../interruption.ts';
import { dataDisplay } from '../terminal/data-display.ts';
import { evaluationText } from '../terminal/evaluation-text.ts';
import { jsonDisplay, writeJsonLine } from '../terminal/json-lines.ts';
import { standardOutput } from '../terminal/output.ts';
import { runDisplay } from '../terminal/run-display.ts';
import { addJsonFlag, integerFrom, threadLimit } from './options.ts';

interface EvaluateFlags {
  readonly threads?: number;
  readonly dataset?: string;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function registerEvaluate(program: Command): void {
  const command = program
    .command('evaluate')
    .description('accuracy, confusion matrix and the figures of each class, on the test images')
    .argument('<checkpoint>', 'folder of a checkpoint, or of a run (its newest whole one)')
    .option('--threads <n>', 'threads that compute (default: all cores)', integerFrom(1, threadLimit))
    .option('--dataset <name>', "another data set of the same shape (default: the recipe's)");
  addJsonFlag(command).action(async (path: string, flags: EvaluateFlags) => {
    process.exitCode = await runEvaluate(path, flags);
  });
}

async function runEvaluate(path: string, flags: EvaluateFlags): Promise<number> {
  const output = standardOutput();
  const json = flags.json === true;
  const located = await locateCheckpoint(path);
  const checkpoint = await readCheckpoint(located);
  const name = flags.dataset ?? checkpoint.recipe.dataset;
  const interruption = interruptible(() => undefined);
  // Nothing here needs saving: the first signal ends the command.
  interruption.signal.addEventListener('abort', () => process.exit(interruption.exitCode() ?? 1));
  try {
    const progress = dataDisplay(name, output, json);
    const dataset = await openDataset(name, {
      fetchIfMissing: true,
      onProgress: progress.onProgress,
      signal: interruption.signal,
    }).finally(progress.end);
    const { evaluateCheckpoint } = await import('../evaluation.ts');
    const { listen, end } = json ? jsonDisplay(output) : runDisplay(output);
    const threads = flags.threads ?? availableParallelism();
    const figures = await evaluateCheckpoint({ checkpoint, dataset, threads }, listen).finally(end);
    const report = { ...figures, checkpoint: located };
    if (json) writeJsonLine(output, report);
    else output.write(`${evaluationText(report, output.columns())}\n`);
    return 0;
  } finally {
    interruption.dispose();
  }
}
