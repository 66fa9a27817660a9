/** How a command ends that cannot go on. */

import { asLockstepError } from '@lockstep/shared/base/errors.ts';
import { writeJsonLine } from './json-lines.ts';
import type { Output } from './output.ts';

/**
 * Prints an error: `error CODE: message` for people on standard error, with `--json` also one object on
 * standard output.
 *
 * @returns the exit code: 1 failed, 2 wrong usage or recipe
 */
export function reportError(thrown: unknown, json: boolean, output: Output, errors: Output): 1 | 2 {
  const error = asLockstepError(thrown);
  errors.write(`${errors.style('red', `error ${error.code}:`)} ${error.message}\n`);
  // A defect is reported by the user, and only the stack says where it is.
  if (error.code === 'INTERNAL') errors.write(`${stackOf(error.cause ?? error)}\n`);
  if (json) {
    const { code, message, advice, values } = error;
    writeJsonLine(output, { type: 'error', code, message, advice, values } as { type: string });
  }
  return error.exitCode;
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
