/**
 * The one error class of the project. A code for programs, a message for people, the values that
 * led to it, and what to do about it. Expected trouble (a late shard, a lost rank) is a value with a
 * reason and never passes through here.
 */

/** Every error code with the exit code of the command line: 1 failed, 2 wrong usage or recipe. */
export const exitCodeOf = {
  USAGE: 2,
  UNKNOWN_COMMAND: 2,
  RECIPE_INVALID: 2,
  RECIPE_UNKNOWN_KEY: 2,
  RECIPE_UNREADABLE: 2,
  RECIPE_MISMATCH: 2,
  MODEL_UNKNOWN: 2,
  MODEL_INVALID: 2,
  DATASET_UNKNOWN: 2,
  BATCH_TOO_SMALL: 2,
  ARENA_TOO_LARGE: 2,
  NODE_TOO_OLD: 1,
  KERNELS_MISSING: 1,
  KERNELS_WRONG: 1,
  NUMERICS_UNSUPPORTED: 1,
  DATA_MISSING: 1,
  DATA_CORRUPT: 1,
  DATA_OFFLINE: 1,
  DISK_FULL: 1,
  FILE_UNWRITABLE: 1,
  FILE_UNREADABLE: 1,
  CHECKPOINT_CORRUPT: 1,
  CHECKPOINT_MISSING: 1,
  RANK_FAILED: 1,
  STEP_NOT_FINITE: 1,
  PROTOCOL_VERSION: 1,
  FRAME_MALFORMED: 1,
  FRAME_CORRUPT: 1,
  FRAME_TOO_LARGE: 1,
  MESSAGE_INVALID: 1,
  MESSAGE_UNEXPECTED: 1,
  TOKEN_REQUIRED: 2,
  TOKEN_WRONG: 1,
  FLOOD: 1,
  HANDSHAKE_TIMEOUT: 1,
  NUMERICS_DIFFER: 1,
  GRADIENT_INVALID: 1,
  HEARTBEAT_LOST: 1,
  WEIGHTS_DIVERGED: 1,
  DATA_BUDGET: 1,
  COORDINATOR_FULL: 1,
  COORDINATOR_UNREACHABLE: 1,
  LISTEN_FAILED: 1,
  CERTIFICATE_INVALID: 1,
  INTERNAL: 1,
} as const;

export type ErrorCode = keyof typeof exitCodeOf;

export type ErrorValues = Readonly<Record<string, unknown>>;

export class LockstepError extends Error {
  override readonly name = 'LockstepError';
  readonly code: ErrorCode;
  readonly values: ErrorValues;
  /** What the user can do about it: one sentence. */
  readonly advice: string;

  /**
   * @param what one sentence saying what is wrong, with the figures in it
   * @param advice one sentence saying what to do
   */
  constructor(code: ErrorCode, what: string, advice: string, values: ErrorValues = {}, cause?: unknown) {
    super(
      `${/[.!?]$/.test(what) ? what : `${what}.`} ${advice}`.trim(),
      cause === undefined ? undefined : { cause },
    );
    this.code = code;
    this.values = values;
    this.advice = advice;
  }

  get exitCode(): 1 | 2 {
    return exitCodeOf[this.code];
  }
}

/** Wraps whatever was thrown, so that a command always ends with a code and an advice. */
export function asLockstepError(thrown: unknown): LockstepError {
  if (thrown instanceof LockstepError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new LockstepError('INTERNAL', text, 'This is a defect in Lockstep; please report it.', {}, thrown);
}
