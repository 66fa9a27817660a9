/** What becomes of a task whose rank was lost: somebody is told and it is given out again, or the run has failed. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { decideRetry } from '../plan/assignment.ts';
import type { LostListener } from './workforce.ts';

export interface LostTask {
  /** Its kind. */
  readonly task: string;
  /** The shard that the rank was at, if it was at one. */
  readonly shard: number | null;
  /** Times that it was lost, this one included. */
  readonly attempts: number;
  readonly why: string;
}

/** Tells `onLost` of it. @throws LockstepError RANK_FAILED when it was lost too often; nobody is told then */
export function giveOutAgain({ task, shard, attempts, why }: LostTask, onLost: LostListener): void {
  const { again, reason } = decideRetry(shard === null ? `a ${task}` : `shard ${shard}`, attempts, why);
  if (again) return onLost(task, shard, reason);
  throw new LockstepError(
    'RANK_FAILED',
    `${reason}.`,
    'Resume from the last checkpoint, with fewer threads if memory is short.',
    { task, shard, attempts },
  );
}
