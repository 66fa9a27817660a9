/** What a guard says of a message, with the reason in words. */
import type { ErrorCode } from '../base/errors.ts';

export interface Drop {
  readonly kind: 'drop';
  readonly code: ErrorCode;
  readonly reason: string;
}

/**
 * accept: act on it. ignore: right in form, of no use any more (a revoked assignment). drop: the peer broke the
 * protocol; close the connection, nothing it sent counts.
 */
export type Verdict = { readonly kind: 'accept' | 'ignore'; readonly reason: string } | Drop;

export function accept(reason: string): Verdict {
  return { kind: 'accept', reason };
}

export function drop(code: ErrorCode, reason: string): Drop {
  return { kind: 'drop', code, reason };
}
