/**
 * What becomes of a shard that could not be computed: a pure decision, with its reason. One member, broken or
 * hostile, must not be able to end a run that others could go on with: its word alone is never enough while
 * somebody else is there to try.
 */
import { attemptLimit } from '../plan/assignment.ts';

export type FailureCause = 'not-finite' | 'rank-lost' | 'other';

/** A member gave a shard up. */
export interface Failure {
  readonly member: number;
  readonly cause: FailureCause;
}

export interface FailedShard {
  readonly shard: number;
  /** All of this step, in order; also those of members that have left since. */
  readonly failures: readonly Failure[];
  /** Ids of the members that may be given work now. */
  readonly present: readonly number[];
}

export interface FailureDecision {
  /** not-finite: the step cannot be committed. lost: nobody can compute the shard. */
  readonly kind: 'go on' | 'not-finite' | 'lost';
  /** Present members that are not given the shard; never all of them. */
  readonly exclude: readonly number[];
  readonly reason: string;
}

/**
 * Only members that are present have a say: one that leaves and comes back under another id would otherwise count as
 * two.
 */
export function decideFailure({ shard, failures, present }: FailedShard): FailureDecision {
  const heard = failures.filter(({ member }) => present.includes(member));
  const what = `shard ${shard}`;
  if (heard.length === 0)
    return { kind: 'go on', exclude: [], reason: `nobody here has failed with ${what}` };
  const said = heard.filter(({ cause }) => cause === 'not-finite').map(({ member }) => member);
  const sayers = new Set(said).size;
  if (sayers > 1) {
    return { kind: 'not-finite', exclude: [], reason: `${sayers} members agree that ${what} is not finite` };
  }
  if (present.length === 1 && said.length > 1) {
    return { kind: 'not-finite', exclude: [], reason: `the only member got ${what} not finite twice` };
  }
  const times = new Map(present.map((id) => [id, heard.filter(({ member }) => member === id).length]));
  const fewest = Math.min(...times.values());
  if (fewest > 0 && heard.length >= attemptLimit) {
    const everybody = present.length === 1 ? 'the only member' : `all ${present.length} members`;
    return { kind: 'lost', exclude: [], reason: `${everybody} failed with ${what}, ${heard.length} times` };
  }
  // Whoever failed least often is next: first all who have not tried, then everybody in turn.
  const exclude = present.filter((id) => (times.get(id) as number) > fewest);
  const next = present.length - exclude.length;
  const reason =
    fewest === 0
      ? `${what} goes to one of ${next} members that have not failed with it`
      : `every member has failed with ${what}, ${heard.length} times of ${attemptLimit}: it is tried again`;
  return { kind: 'go on', exclude, reason };
}
