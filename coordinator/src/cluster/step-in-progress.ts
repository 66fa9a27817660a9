/** The step that is being computed: its tasks, what has come in of it, and who waits for its end. */
import type { StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';
import type { ShardTask } from '@lockstep/worker/rank/tasks.ts';
import { SyncStep } from '../reduce/sync-step.ts';
import type { EarlyUpdates } from './early-updates.ts';
import type { Member } from './member.ts';
import { StepLedger } from './step-ledger.ts';

export interface StepInProgress {
  readonly ledger: StepLedger;
  readonly tasks: ReadonlyMap<number, ShardTask>;
  readonly meanSamples: number;
  /** Resolved with whether all shards are there. */
  readonly done: PromiseWithResolvers<boolean>;
  /** In mode `sync`: the totals so far, and who is told of them. */
  readonly sync: SyncStep | null;
  readonly audience: Set<Member>;
  /** What is updated before the last shard is in. */
  readonly early: EarlyUpdates;
  /** Called when the step's sums are not needed any more. */
  readonly releases: (() => void)[];
}

/** @param local told of all totals, whoever computes: the store is here */
export function beginStep(
  tasks: readonly ShardTask[],
  sync: boolean,
  { layout }: Pick<RankHost, 'layout'>,
  local: Member,
  early: EarlyUpdates,
): StepInProgress {
  const samples = tasks.map((task) => task.samples.length);
  return {
    ledger: new StepLedger(
      tasks[0]?.step ?? 0,
      tasks.map(({ shard }) => shard),
    ),
    tasks: new Map(tasks.map((task) => [task.shard, task])),
    meanSamples: Math.max(1, samples.reduce((a, b) => a + b, 0) / tasks.length),
    done: Promise.withResolvers<boolean>(),
    sync: sync ? new SyncStep(layout, samples) : null,
    audience: new Set([local]),
    early,
    releases: [],
  };
}

/** The plan of a step, as far as its tasks tell. */
export function planOf(tasks: readonly ShardTask[]): StepPlan {
  const { step = 0, epoch = 0 } = tasks[0] ?? {};
  const shards = tasks.map(({ samples }) => samples);
  const samples = shards.reduce((sum, { length }) => sum + length, 0);
  return { step, epoch, stepInEpoch: 0, samples, shards, reason: 'all shards of the step' };
}
