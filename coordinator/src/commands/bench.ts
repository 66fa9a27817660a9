/** `lockstep bench`: throughput against the single-thread baseline, scaling efficiency, where the time goes. */
import { availableParallelism } from 'node:os';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { checkModelName } from '@lockstep/shared/model/zoo.ts';
import { describeDataset } from '@lockstep/worker/data/catalogue.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import type { Command } from 'commander';
import { interruptible } from '../interruption.ts';
import { gatherRecipe } from '../recipe-source.ts';
import { benchmarkText } from '../terminal/benchmark-text.ts';
import { dataDisplay } from '../terminal/data-display.ts';
import { writeJsonLine } from '../terminal/json-lines.ts';
import { standardOutput } from '../terminal/output.ts';
import { ProgressBar } from '../terminal/progress-bar.ts';
import {
  addJsonFlag,
  addRecipeFlags,
  type FlagValues,
  integerFrom,
  recipeFlags,
  secondsFrom,
  threadLimit,
} from './options.ts';

interface BenchFlags {
  readonly threads?: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly profile?: boolean;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function registerBench(program: Command): void {
  const command = program
    .command('bench')
    .description('images per second for 1..N threads against one thread, and where the time goes')
    .argument('[recipe.json]', 'file that holds the fields of a recipe')
    .option(
      '--threads <n>',
      'the largest number of threads (default: all cores)',
      integerFrom(1, threadLimit),
    )
    .option('--rounds <n>', 'rounds over all numbers of threads', integerFrom(1, 1000), 5)
    .option('--seconds <s>', 'seconds for each measurement', secondsFrom, 2)
    .option('--profile', 'also kernel by kernel: rates, and whether arithmetic or memory limits it');
  addJsonFlag(addRecipeFlags(command)).action(async (file: string | undefined, flags: FlagValues) => {
    process.exitCode = await runBench(file ?? null, flags as BenchFlags & FlagValues);
  });
}

/** @returns the exit code */
async function runBench(file: string | null, flags: BenchFlags & FlagValues): Promise<number> {
  const output = standardOutput();
  const json = flags.json === true;
  const recipe = parseRecipe(await gatherRecipe(file, recipeFlags(flags)));
  checkModelName(recipe.model);
  describeDataset(recipe.dataset);
  const interruption = interruptible(() => undefined);
  const bar = new ProgressBar(output);
  try {
    const progress = dataDisplay(recipe.dataset, output, json);
    const dataset = await openDataset(recipe.dataset, {
      fetchIfMissing: true,
      onProgress: progress.onProgress,
      signal: interruption.signal,
    }).finally(progress.end);
    const { benchmark } = await import('../metrics/benchmark.ts');
    const threads = flags.threads ?? availableParallelism();
    const { rounds, seconds, profile: detailed = false } = flags;
    const options = { recipe, dataset, threads, rounds, seconds, detailed };
    const report = await benchmark({ ...options, signal: interruption.signal }, (share, text) => {
      if (json) writeJsonLine(output, { type: 'bench-progress', share, text } as { type: string });
      else if (output.isTty) {
        bar.show({ label: 'measuring', done: share, total: 1, parts: [{ text, rank: 0 }] });
      }
    });
    bar.clear();
    if (json) writeJsonLine(output, report);
    else output.write(`${benchmarkText(report)}\n`);
    return interruption.exitCode() ?? 0;
  } finally {
    bar.clear();
    interruption.dispose();
  }
}
