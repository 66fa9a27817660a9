/** `lockstep train [recipe.json] [flags]`: coordinator and ranks in one process, on this machine. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { type FlagValues, integerFrom, threadLimit } from './options.ts';
import { addRunFlags, type RunFlags, runRecipe } from './run-command.ts';

interface TrainFlags extends RunFlags {
  readonly threads?: number;
}

/** Adds the command to the program. */
export function registerTrain(program: Command): void {
  const command = program
    .command('train')
    .description('train a model on this machine')
    .option('--threads <n>', 'threads that compute (default: all cores)', integerFrom(1, threadLimit));
  addRunFlags(command).action(async (file: string | undefined, values: FlagValues) => {
    const flags = values as TrainFlags & FlagValues;
    process.exitCode = await runRecipe(file ?? null, flags, {
      threads: flags.threads ?? availableParallelism(),
      baseline: flags.baseline,
      prepare: async () => ({ workforce: null, log: null }),
    });
  });
}
