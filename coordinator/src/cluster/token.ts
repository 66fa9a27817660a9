/** Who may join: the token, how it is chosen and how it is compared. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { LockstepError } from '@lockstep/shared/base/errors.ts';

/** Shorter ones can be guessed; longer ones do not fit into a hello. */
const lengths = { least: 8, most: 256 } as const;

export interface TokenDecision {
  /** Null: whoever reaches the port may join. */
  readonly token: string | null;
  readonly generated: boolean;
  readonly reason: string;
}

/**
 * Off loopback there is always a token. Pure but for `draw`.
 *
 * @param given from the flag, the file or the environment
 * @throws LockstepError USAGE for a token that is too short or too long
 */
export function decideToken(given: string | null, loopback: boolean, draw = drawToken): TokenDecision {
  if (given !== null) {
    if (given.length < lengths.least || given.length > lengths.most) {
      throw new LockstepError(
        'USAGE',
        `A token of ${given.length} characters was given.`,
        `Allowed: ${lengths.least} to ${lengths.most} characters.`,
        { length: given.length },
      );
    }
    return { token: given, generated: false, reason: 'the token was given' };
  }
  if (loopback) return { token: null, generated: false, reason: 'only this machine can reach the port' };
  return { token: draw(), generated: true, reason: 'other machines can reach the port' };
}

function drawToken(): string {
  return randomBytes(24).toString('base64url');
}

/** Compares in a time that does not depend on where the two differ, or on their lengths. */
export function tokensAgree(expected: string, offered: string | null): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const same = timingSafeEqual(digest(expected), digest(offered ?? ''));
  return same && offered !== null;
}
