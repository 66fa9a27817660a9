/** Refusals are values: whatever a peer sends, nothing here throws. */
import type { ErrorCode } from '../base/errors.ts';

export interface Refusal {
  readonly ok: false;
  readonly code: ErrorCode;
  /** One clause in words, for the log and for the peer. Never holds a token. */
  readonly reason: string;
}

export function refusal(code: ErrorCode, reason: string): Refusal {
  return { ok: false, code, reason };
}
