/** When to try again, and whether: pure, with time and chance as arguments. */
import type { ErrorCode } from '@lockstep/shared/base/errors.ts';

export interface BackOff {
  readonly milliseconds: number;
  readonly reason: string;
}

/** Milliseconds: the first pause is drawn below `first`, no pause is longer than `longest`. */
export const backOffLimits = { first: 250, longest: 10_000 } as const;

/**
 * Exponential with full jitter: nodes that lost their coordinator together do not all come back together.
 *
 * @param failures attempts that failed since the last one that worked, from 1
 * @param random in [0, 1)
 */
export function decideBackOff(failures: number, random: number, limits = backOffLimits): BackOff {
  const ceiling = Math.min(limits.longest, limits.first * 2 ** Math.min(30, failures - 1));
  const milliseconds = Math.round(random * ceiling);
  return { milliseconds, reason: `attempt ${failures} failed; a random pause of at most ${ceiling} ms` };
}

/** Refusals that a second attempt cannot change. A broken frame may be the link's fault, so it is none of them. */
const final: ReadonlySet<string> = new Set<ErrorCode>([
  'PROTOCOL_VERSION',
  'TOKEN_REQUIRED',
  'TOKEN_WRONG',
  'NUMERICS_DIFFER',
  'WEIGHTS_DIVERGED',
  'GRADIENT_INVALID',
  'DATA_BUDGET',
  'DATA_MISSING',
  'DATA_CORRUPT',
  'DATASET_UNKNOWN',
  'FILE_UNREADABLE',
  'MESSAGE_INVALID',
  'MESSAGE_UNEXPECTED',
  'FLOOD',
  'CERTIFICATE_INVALID',
  'RECIPE_INVALID',
  'MODEL_INVALID',
  'ARENA_TOO_LARGE',
  'KERNELS_MISSING',
  'NUMERICS_UNSUPPORTED',
  'INTERNAL',
]);

export interface RetryDecision {
  readonly again: boolean;
  readonly reason: string;
}

/**
 * Whether a node dials again after its connection ended.
 *
 * @param code why it ended; null when the network did
 * @param silentFor milliseconds since the coordinator was last heard of
 * @param patience milliseconds after which an unreachable coordinator is given up
 */
export function decideRetry(code: string | null, silentFor: number, patience: number): RetryDecision {
  if (code !== null && final.has(code)) return { again: false, reason: `${code} will not change by itself` };
  if (silentFor > patience) {
    return { again: false, reason: `the coordinator was not heard of for ${Math.round(silentFor / 1000)} s` };
  }
  return { again: true, reason: code === null ? 'the connection was lost' : `${code} may pass` };
}
