/**
 * THE STORY: one training step after the other, from top to bottom. Deciders are pure and live in `plan/`
 * and `reduce/`; whoever computes stands behind `Workforce`.
 */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { learningRate } from '@lockstep/shared/optimizer/schedule.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { chunkFloats } from '@lockstep/worker/rank/store.ts';
import type { ShardReport } from '@lockstep/worker/rank/tasks.ts';
import type { UpdateOf, Workforce } from './cluster/workforce.ts';
import { cutSlices } from './plan/assignment.ts';
import { planStep, type StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import { type CommitDecision, decideCommit } from './reduce/commit.ts';
import type { Truth } from './reduce/truth.ts';

export interface Run {
  readonly recipe: Recipe;
  readonly trainCount: number;
  /** The run ends when this many steps are committed. */
  readonly lastStep: number;
  readonly workforce: Workforce;
  readonly truth: Truth;
  readonly signal: AbortSignal;
}

/** What a commit leaves behind for metrics, progress and checkpoints. */
export interface CommittedStep {
  readonly plan: StepPlan;
  readonly shards: readonly ShardReport[];
  readonly learningRate: number;
  readonly seconds: number;
  readonly decision: CommitDecision;
}

/**
 * Runs steps until the last one is committed or the signal is raised; a step that has begun is finished.
 *
 * @param afterCommit metrics, progress, checkpoints: after the commit, never inside it
 * @throws LockstepError STEP_NOT_FINITE, RANK_FAILED; the truth is then still the one before the step
 */
export async function runSteps(
  run: Run,
  afterCommit: (committed: CommittedStep) => Promise<void>,
): Promise<void> {
  run.workforce.publish(run.truth.step, run.truth.side);
  if (run.truth.step < run.lastStep) await run.workforce.gathered(run.signal);
  // Plan: which samples, in which shards. A function of the recipe and the step, so it can be made ahead.
  const planned = (step: number): StepPlan => planStep(run.recipe, run.trainCount, step);
  let plan = planned(run.truth.step);
  while (run.truth.step < run.lastStep && !run.signal.aborted) {
    const begun = performance.now();
    const underWay = runStep(run, plan);
    // While the ranks compute, so that none of them waits for it.
    plan = planned(plan.step + 1);
    const committed = await underWay;
    // Nobody is left to compute, and the user does not want to wait for somebody.
    if (committed === null) return;
    await afterCommit({ ...committed, seconds: (performance.now() - begun) / 1000 });
  }
}

/** One step: compute, reduce, commit. */
async function runStep(run: Run, plan: StepPlan): Promise<Omit<CommittedStep, 'seconds'> | null> {
  const { recipe, workforce, truth } = run;
  const { step } = plan;

  // What becomes of a range of the gradient once it is there: the sum in the fixed tree, and the optimizer on it.
  const rate = learningRate(recipe, step, run.lastStep);
  const updateOf: UpdateOf = ({ from, to }, covers) => ({
    kind: 'slice',
    side: truth.side,
    from,
    to,
    update: truth.updates + 1,
    learningRate: rate,
    samples: plan.samples,
    ...(covers === null ? {} : { covers }),
  });

  // Assign, weights down, load, forward, loss, backward, gradients up: any rank may compute any shard. A range that has
  // come from all shards may be updated, and be on its way down, while backward still works on the others.
  const shards = await workforce.computeShards(
    plan.shards.map((samples, shard) => ({
      kind: 'shard' as const,
      step,
      side: truth.side,
      epoch: plan.epoch,
      shard,
      samples,
    })),
    { updateOf, signal: run.signal },
  );
  if (shards === null) return null;

  // Reduce and update what is left, slice by slice, from one side of the store to the other.
  const slices = await workforce.updateSlices(
    cutSlices(truth.layout.parameterCount, workforce.ranks, chunkFloats).map((slice) =>
      updateOf(slice, workforce.covers ?? null),
    ),
  );

  // Commit: all shards, all finite. Running statistics are merged, the sides swap, the step counts.
  const decision = decideCommit(plan, shards, slices);
  if (!decision.commit) throw refused(step, decision);
  truth.commit(plan, recipe, workforce.covers ?? plan.shards.map((_, from) => ({ from, width: 1 })));

  // Weights down: on their way while metrics and checkpoints are written and the next batch is loaded.
  workforce.publish(truth.step, truth.side);
  return { plan, shards, learningRate: rate, decision };
}

function refused(step: number, decision: CommitDecision): LockstepError {
  return new LockstepError(
    'STEP_NOT_FINITE',
    `Step ${step + 1} cannot be committed: ${decision.reason}.`,
    'Lower the learning rate or lengthen the warm-up, and go on from the last checkpoint.',
    { step: step + 1 },
  );
}
