/** The step that is being computed: its tasks, what has come in of it, and who waits for its end. */
import type { StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';
import type { ShardTask } from '@lockstep/worker/rank/tasks.ts';
import { SyncStep } from '../reduce/sync-step.ts';
import type { EarlyUpdates } from './early-updates.ts';
import type { Member } from './member.ts';
import { StepLedger } from './step-ledger.ts';

/** What work of a step is given out on. */
export interface StepGround {
  readonly ledger: StepLedger;
  readonly tasks: ReadonlyMap<number, ShardTask>;
  readonly meanSamples: number;
  /** In mode `sync`: the totals so far, and who is told of them. */
  readonly sync: SyncStep | null;
  readonly audience: Set<Member>;
}

export interface StepInProgress extends StepGround {
  /** Resolved with whether all shards are there. */
  readonly done: PromiseWithResolvers<boolean>;
  /** What is updated before the last shard is in. */
  readonly early: EarlyUpdates;
  /** Called when the step's sums are not needed any more. */
  readonly releases: (() => void)[];
}

/**
 * @param layout in batch-norm mode `sync`, else null
 * @param local told of all totals, whoever computes: the store is here
 */
export function groundOf(
  tasks: readonly ShardTask[],
  layout: RankHost['layout'] | null,
  local: Member | null,
): StepGround {
  const samples = tasks.map((task) => task.samples.length);
  return {
    ledger: new StepLedger(
      tasks[0]?.step ?? 0,
      tasks.map(({ shard }) => shard),
    ),
    tasks: new Map(tasks.map((task) => [task.shard, task])),
    meanSamples: Math.max(1, samples.reduce((a, b) => a + b, 0) / tasks.length),
    sync: layout === null ? null : new SyncStep(layout, samples),
    audience: new Set(local === null ? [] : [local]),
  };
}

/** A step begins, on ground on which some of it may have been given out before. */
export function beginStep(ground: StepGround, early: EarlyUpdates): StepInProgress {
  return { ...ground, early, done: Promise.withResolvers<boolean>(), releases: [] };
}

/** The plan of a step, as far as its tasks tell. */
export function planOf(tasks: readonly ShardTask[]): StepPlan {
  const { step = 0, epoch = 0 } = tasks[0] ?? {};
  const shards = tasks.map(({ samples }) => samples);
  const samples = shards.reduce((sum, { length }) => sum + length, 0);
  return { step, epoch, stepInEpoch: 0, samples, shards, reason: 'all shards of the step' };
}
