/** `lockstep plan MODEL`: the compiled program as a table. */
import { availableParallelism } from 'node:os';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { describeDataset } from '@lockstep/worker/data/catalogue.ts';
import type { Command } from 'commander';
import { gatherRecipe } from '../recipe-source.ts';
import { writeJsonLine } from '../terminal/json-lines.ts';
import { standardOutput } from '../terminal/output.ts';
import { planText } from '../terminal/plan-text.ts';
import {
  addJsonFlag,
  addRecipeFlags,
  type FlagValues,
  integerFrom,
  recipeFlags,
  threadLimit,
} from './options.ts';

interface PlanFlags {
  readonly threads?: number;
  readonly measure: boolean;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function registerPlan(program: Command): void {
  const command = program
    .command('plan')
    .description('the compiled program: kernels, shapes, FLOPs, bytes, offsets, share of time')
    .argument('<model>', 'name of a model, for example resnet20')
    .option(
      '--threads <n>',
      'threads for the sum of memory (default: all cores)',
      integerFrom(1, threadLimit),
    )
    .option('--no-measure', 'do not run the program to measure shares of time');
  addJsonFlag(addRecipeFlags(command)).action(async (model: string, flags: FlagValues) => {
    await runPlan(model, flags as PlanFlags & FlagValues);
  });
}

async function runPlan(name: string, flags: PlanFlags & FlagValues): Promise<void> {
  const recipe = parseRecipe({ ...(await gatherRecipe(null, recipeFlags(flags))), model: name });
  const entry = describeDataset(recipe.dataset);
  // Loaded here, so that `lockstep --help` does not wait for the kernels.
  const { planModel } = await import('../plan/program-table.ts');
  const { timeProgram } = await import('../plan/program-timing.ts');
  const { chooseKernels } = await import('@lockstep/worker/rank/kernel-choice.ts');
  const kernels = flags.measure ? await chooseKernels(recipe.arithmetic) : null;
  const report = planModel({
    recipe,
    data: entry,
    threads: flags.threads ?? availableParallelism(),
    measure: kernels && ((program) => timeProgram(program, kernels.module)),
  });
  const output = standardOutput();
  if (flags.json === true) writeJsonLine(output, report);
  else output.write(`${planText(report, output.isTty ? output.columns() : Number.POSITIVE_INFINITY)}\n`);
}
