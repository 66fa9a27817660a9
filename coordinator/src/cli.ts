/** The command line: finds the command, turns whatever goes wrong into a message and an exit code. */

import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { Command, CommanderError } from 'commander';
import { registerBench } from './commands/bench.ts';
import { registerCoordinator } from './commands/coordinator.ts';
import { registerData } from './commands/data.ts';
import { registerEvaluate } from './commands/evaluate.ts';
import { registerJoin } from './commands/join.ts';
import { registerPlan } from './commands/plan.ts';
import { registerStatus } from './commands/status.ts';
import { registerTrain } from './commands/train.ts';
import { reportError } from './terminal/error-report.ts';
import { standardOutput, tolerateClosedPipe } from './terminal/output.ts';

/** Each adds one command; the order is that of the help. */
const registrations = [
  registerTrain,
  registerCoordinator,
  registerJoin,
  registerStatus,
  registerEvaluate,
  registerBench,
  registerPlan,
  registerData,
];

/**
 * Runs the command line.
 *
 * @param args without the runtime and the script
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage or recipe, 128 + signal when interrupted
 */
export async function main(args: readonly string[], version: string): Promise<number> {
  tolerateClosedPipe();
  try {
    await buildProgram(version).parseAsync(args, { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (thrown) {
    const error = thrown instanceof CommanderError ? asUsageError(thrown) : thrown;
    if (error === null) return 0;
    // The flags may not have been understood, so whether they hold --json is looked up by hand.
    const json = args.includes('--json');
    return reportError(error, json, standardOutput(), standardOutput(process.stderr));
  }
}

/** The program with all its commands; throws instead of ending the process. */
export function buildProgram(version: string): Command {
  const program = new Command('lockstep')
    .description(
      'Data-parallel training of convolutional networks: same recipe, same bits, for any number of threads.',
    )
    .version(version)
    .exitOverride()
    // What commander would print comes out as one error of ours.
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError();
  // Commands inherit these settings only when they are made after them.
  for (const register of registrations) register(program);
  return program;
}

/** Commander's complaint as ours; null when it only ended the help or the version. */
function asUsageError(error: CommanderError): LockstepError | null {
  if (error.exitCode === 0) return null;
  const [what = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const code = error.code === 'commander.unknownCommand' ? 'UNKNOWN_COMMAND' : 'USAGE';
  const advice = suggestion?.replaceAll(/[()]/g, '') ?? 'See: lockstep --help, or lockstep COMMAND --help.';
  if (error.code === 'commander.help') {
    return new LockstepError('USAGE', 'No command was given.', advice, { reason: error.code });
  }
  const sentence = what.charAt(0).toUpperCase() + what.slice(1);
  return new LockstepError(code, sentence.endsWith('.') ? sentence : `${sentence}.`, advice, {
    reason: error.code,
  });
}
