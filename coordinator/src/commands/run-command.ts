/** What `train` and `coordinator` have in common: recipe, folder, data, signals, display. */
import { existsSync } from 'node:fs';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { checkModelName } from '@lockstep/shared/model/zoo.ts';
import { parseRecipe, type Recipe, type RecipeInput } from '@lockstep/shared/recipe.ts';
import { describeDataset } from '@lockstep/worker/data/catalogue.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import type { Command } from 'commander';
import { resumeRun, type ResumeOutcome } from '../checkpoint/resume.ts';
import { defaultRunDirectory } from '../checkpoint/run-directory.ts';
import { dropEmptyRunDirectory, prepareRunDirectory } from '../checkpoint/writer.ts';
import { interruptible } from '../interruption.ts';
import type { RunListener } from '../metrics/events.ts';
import { gatherRecipe } from '../recipe-source.ts';
import type { WorkforceFactory } from '../session.ts';
import { dataDisplay } from '../terminal/data-display.ts';
import { jsonDisplay } from '../terminal/json-lines.ts';
import { standardOutput } from '../terminal/output.ts';
import { runDisplay } from '../terminal/run-display.ts';
import {
  addJsonFlag,
  addRecipeFlags,
  type FlagValues,
  integerFrom,
  recipeFlags,
  secondsFrom,
} from './options.ts';

/** Flags of a run that are no part of the recipe. */
export interface RunFlags {
  readonly out?: string;
  /** True without a path. */
  readonly resume?: string | true;
  readonly checkpointEvery?: number;
  readonly checkpointSeconds: number;
  readonly keep: number;
  readonly evaluate: boolean;
  readonly baseline: boolean;
  readonly json?: boolean;
}

/** How one command's run differs from the other's. */
export interface RunKind {
  /** Ranks of this process. */
  readonly threads: number;
  readonly baseline: boolean;
  /**
   * Called before the run begins. Gives who computes, null for the ranks of this process, and a listener that
   * hears every event besides the display.
   */
  readonly prepare: (
    listen: RunListener,
    runDirectory: string,
  ) => Promise<{ readonly workforce: WorkforceFactory | null; readonly log: RunListener | null }>;
}

/** Adds the flags of a run and of its recipe. */
export function addRunFlags(command: Command): Command {
  command
    .argument('[recipe.json]', 'file that holds the fields of a recipe')
    .option('--out <dir>', "the run's folder (default: runs/<model>-<dataset>-<hash>)")
    .option('--resume [path]', "go on from a checkpoint (default: the newest whole one of the run's folder)")
    .option('--checkpoint-every <steps>', 'a checkpoint after so many steps', integerFrom(1, 1e9))
    .option('--checkpoint-seconds <s>', 'a checkpoint after so many seconds', secondsFrom, 30)
    .option('--keep <n>', 'checkpoints to keep', integerFrom(1, 1e6), 3)
    .option('--no-evaluate', 'do not measure the test accuracy after each epoch')
    .option('--no-baseline', 'do not measure the speed of one thread alone');
  return addJsonFlag(addRecipeFlags(command));
}

/** @returns the exit code: 0 done, 128 + signal when a signal ended the run early */
export async function runRecipe(
  file: string | null,
  flags: RunFlags & FlagValues,
  kind: RunKind,
): Promise<number> {
  const output = standardOutput();
  const json = flags.json === true;
  const { listen, end } = json ? jsonDisplay(output) : runDisplay(output);
  const start = await settle(flags, await gatherRecipe(file, recipeFlags(flags)));
  // Before anything is fetched or written: a slip in a name or a size should not cost a download.
  checkModelName(start.recipe.model);
  const entry = describeDataset(start.recipe.dataset);
  // Loaded here, so that `lockstep --help` and a wrong flag do not wait for the kernels.
  const { modelFor, rankSpaceOf } = await import('@lockstep/worker/rank/run-shape.ts');
  const counts = { train: { count: entry.trainCount }, test: { count: entry.testCount } };
  rankSpaceOf(start.recipe, modelFor(start.recipe, entry), counts);
  const made = await prepareRunDirectory(start.runDirectory);
  let told = false;
  let log: RunListener | null = null;
  const tell: RunListener = (event) => {
    told ||= event.type === 'result';
    log?.(event);
    listen(event);
  };
  const interruption = interruptible((cause) => {
    tell({
      type: 'notice',
      text: `${cause}: the run ends after this step and saves; once more ends it at once.`,
    });
  });
  try {
    for (const text of start.notices) listen({ type: 'notice', text });
    const { train } = await import('../training.ts');
    const progress = dataDisplay(start.recipe.dataset, output, json);
    const dataset = await openDataset(start.recipe.dataset, {
      fetchIfMissing: true,
      onProgress: progress.onProgress,
      signal: interruption.signal,
    }).finally(progress.end);
    const prepared = await kind.prepare(tell, start.runDirectory);
    log = prepared.log;
    // They were shown before there was a log.
    for (const text of start.notices) log?.({ type: 'notice', text });
    const result = await train(
      {
        recipe: start.recipe,
        dataset,
        threads: kind.threads,
        runDirectory: start.runDirectory,
        resume: start.point,
        checkpointEvery: flags.checkpointEvery ?? null,
        checkpointSeconds: flags.checkpointSeconds,
        keep: flags.keep,
        evaluate: flags.evaluate,
        baseline: kind.baseline,
        signal: interruption.signal,
        ...(prepared.workforce === null ? {} : { workforce: prepared.workforce }),
      },
      tell,
    );
    if (!told) listen(result);
    return result.interrupted ? (interruption.exitCode() ?? 0) : 0;
  } catch (thrown) {
    // Ended before the first step: there is nothing to save and nothing went wrong.
    if (interruption.signal.aborted && !(thrown instanceof LockstepError))
      return interruption.exitCode() ?? 1;
    throw thrown;
  } finally {
    end();
    interruption.dispose();
    await dropEmptyRunDirectory(start.runDirectory, made);
  }
}

/** Recipe, folder and starting point of the run. */
async function settle(flags: RunFlags, given: RecipeInput): Promise<ResumeOutcome> {
  const out = flags.out ?? null;
  if (flags.resume === undefined) {
    const recipe: Recipe = parseRecipe(given);
    return { recipe, point: null, runDirectory: out ?? defaultRunDirectory(recipe), notices: [] };
  }
  const path = flags.resume === true ? null : flags.resume;
  if (path?.endsWith('.json') === true && !path.endsWith('manifest.json') && existsSync(path)) {
    throw new LockstepError(
      'USAGE',
      `--resume takes the path of a checkpoint, and ${path} looks like a recipe.`,
      `Write the recipe first: lockstep train ${path} --resume`,
      { path },
    );
  }
  return resumeRun(path, out, given);
}
