/** Command lines of measurements: what is no number, lies outside, or is not known, is refused with what is allowed. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { reportError } from '@lockstep/coordinator/terminal/error-report.ts';
import { standardOutput } from '@lockstep/coordinator/terminal/output.ts';
import { LockstepError } from '@lockstep/shared/base/errors.ts';

/** By default any number above 0, up to 65,536. */
export interface NumberRange {
  readonly whole?: boolean;
  readonly least?: number;
  readonly most?: number;
}

/** Pure. @throws LockstepError USAGE */
export function numberFlag(flag: string, text: string, range: NumberRange = {}): number {
  const { whole = false, least = whole ? 1 : Number.MIN_VALUE, most = 65_536 } = range;
  const value = Number(text);
  if (text.trim() !== '' && value >= least && value <= most && (!whole || Number.isInteger(value)))
    return value;
  const from = least === Number.MIN_VALUE ? 'above 0' : `from ${least}`;
  const kind = whole ? 'an integer' : 'a number';
  throw wrongFlag(`--${flag} is '${text}'.`, `Allowed: ${kind} ${from} to ${most}.`);
}

/** Pure. Numbers with commas between them. @throws LockstepError USAGE */
export function numberListFlag(flag: string, text: string, range: NumberRange = {}): number[] {
  return text.split(',').map((item) => numberFlag(flag, item, range));
}

/** Pure. One of some words. @throws LockstepError USAGE */
export function choiceFlag<T extends string>(flag: string, text: string, allowed: readonly T[]): T {
  const choice = allowed.find((word) => word === text);
  if (choice !== undefined) return choice;
  throw wrongFlag(`--${flag} is '${text}'.`, `Allowed: ${allowed.join(', ')}.`);
}

/** As `parseArgs`. @param advice where the flags are named @throws LockstepError USAGE */
export function readFlags<T extends ParseArgsConfig>(
  config: T,
  advice = 'The head of the script names its flags.',
): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (thrown) {
    throw wrongFlag(thrown instanceof Error ? thrown.message : String(thrown), advice);
  }
}

export function wrongFlag(what: string, advice: string): LockstepError {
  return new LockstepError('USAGE', what, advice, {});
}

/** What `read` makes of the command line; when that is wrong, the process ends as the product's commands do. */
export function commandLine<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    const isJson = process.argv.includes('--json');
    return process.exit(reportError(thrown, isJson, standardOutput(), standardOutput(process.stderr)));
  }
}
