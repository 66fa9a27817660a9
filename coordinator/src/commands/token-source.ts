/** Where a token comes from: a flag, a file or the environment; never a log. */
import { readFile } from 'node:fs/promises';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { Command } from 'commander';

export interface TokenFlags {
  readonly token?: string;
  readonly tokenFile?: string;
}

export function addTokenFlags(command: Command, about: string): Command {
  return command
    .option('--token <token>', `${about} (or LOCKSTEP_TOKEN)`)
    .option('--token-file <file>', 'file that holds the token');
}

/** The token that the user gave, or null. @throws LockstepError USAGE, FILE_UNREADABLE */
export async function givenToken(flags: TokenFlags): Promise<string | null> {
  if (flags.token !== undefined && flags.tokenFile !== undefined) {
    throw new LockstepError('USAGE', 'Both --token and --token-file were given.', 'Give one of them.');
  }
  if (flags.token !== undefined) return flags.token;
  if (flags.tokenFile === undefined) return process.env['LOCKSTEP_TOKEN'] || null;
  return (await readTextFile(flags.tokenFile, 'the token')).trim();
}

/** @throws LockstepError FILE_UNREADABLE */
export async function readTextFile(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new LockstepError(
      'FILE_UNREADABLE',
      `Cannot read ${what} from ${path}: ${why}.`,
      'Check the path and your permissions.',
      { path },
      thrown,
    );
  }
}
