/**
 * THE STORY: one training step after the other, from top to bottom. Deciders are pure and live in `plan/`
 * and `reduce/`; whoever computes stands behind `Workforce`.
 */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { learningRate } from '@lockstep/shared/optimizer/schedule.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { chunkFloats, otherSide } from '@lockstep/worker/rank/store.ts';
import type { ShardReport, ShardTask } from '@lockstep/worker/rank/tasks.ts';
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
  /** Whether the ranks have something else to do between this many steps and the next one. Absent: never. */
  readonly restsAfter?: (steps: number) => boolean;
}

/** What a commit leaves behind for metrics, progress and checkpoints. */
export interface CommittedStep {
  readonly plan: StepPlan;
  readonly shards: readonly ShardReport[];
  readonly learningRate: number;
  readonly seconds: number;
  readonly decision: CommitDecision;
}

/** A step as it is given to whoever computes it. */
interface StepOrder {
  readonly plan: StepPlan;
  readonly tasks: readonly ShardTask[];
  readonly learningRate: number;
  /** What becomes of a range of the gradient once it is there: the sum in the fixed tree, and the optimizer on it. */
  readonly updateOf: UpdateOf;
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
  const { truth, workforce, signal, lastStep } = run;
  await workforce.publish(truth.step, truth.side);
  if (truth.step < lastStep) await workforce.gathered(signal);
  let order = orderOf(run, truth);
  let current: StepUnderWay | null = null;
  while (truth.step < lastStep && (current !== null || !signal.aborted)) {
    const { begun, computed }: StepUnderWay = current ?? begin(run, order);
    // While ranks compute, so that none of them waits for it: they may begin with the next step before this one is
    // committed, since it reads what this one writes and writes what this one has read.
    const steps = truth.step + 1;
    const next = orderOf(run, { step: steps, updates: truth.updates + 1, side: otherSide(truth.side) });
    const goesOn = steps < lastStep && run.restsAfter?.(steps) !== true;
    const isBegun = goesOn && !signal.aborted && workforce.foresee?.(next.tasks, next.updateOf) === true;
    const shards = await computed;
    // Nobody is left to compute, and the user does not want to wait for somebody.
    if (shards === null) return;
    const committed = await commitStep(run, order, shards);
    const seconds = (performance.now() - begun) / 1000;
    order = next;
    current = goesOn && (isBegun || !signal.aborted) ? begin(run, order) : null;
    // Weights down, behind the work: who knows what it is to compute loads the images meanwhile.
    await workforce.publish(truth.step, truth.side);
    await afterCommit({ ...committed, seconds });
  }
}

/**
 * Plan: which samples, in which shards. A function of the recipe and the step, so it can be made ahead.
 *
 * @param truth as it is when the step begins
 */
function orderOf(run: Run, { step, updates, side }: Pick<Truth, 'step' | 'updates' | 'side'>): StepOrder {
  const { recipe, trainCount, lastStep } = run;
  const plan = planStep(recipe, trainCount, step);
  const rate = learningRate(recipe, step, lastStep);
  return {
    plan,
    tasks: plan.shards.map((samples, shard) => ({
      kind: 'shard' as const,
      step,
      side,
      epoch: plan.epoch,
      shard,
      samples,
    })),
    learningRate: rate,
    updateOf: ({ from, to }, covers) => ({
      kind: 'slice',
      side,
      from,
      to,
      update: updates + 1,
      learningRate: rate,
      samples: plan.samples,
      ...(covers === null ? {} : { covers }),
    }),
  };
}

/** A step that is being computed. */
interface StepUnderWay {
  /** Milliseconds of `performance.now()`. */
  readonly begun: number;
  /** What came of its shards; null when nobody is left to compute them. */
  readonly computed: Promise<ShardReport[] | null>;
}

/**
 * Assign, load, forward, loss, backward, gradients up: any rank may compute any shard. A range that has come from all
 * shards may be updated, and be on its way down, while backward still works on the others.
 */
function begin({ workforce, signal }: Run, { tasks, updateOf }: StepOrder): StepUnderWay {
  const computed = workforce.computeShards(tasks, { updateOf, signal });
  // Whoever awaits it sees why; until then something else may fail.
  computed.catch(() => {});
  return { begun: performance.now(), computed };
}

/** Of a step whose shards are there: reduce, commit. */
async function commitStep(
  { recipe, workforce, truth }: Run,
  { plan, learningRate: rate, updateOf }: StepOrder,
  shards: readonly ShardReport[],
): Promise<Omit<CommittedStep, 'seconds'>> {
  // Reduce and update what is left, slice by slice, from one side of the store to the other.
  const slices = await workforce.updateSlices(
    cutSlices(truth.layout.parameterCount, workforce.ranks, chunkFloats).map((slice) =>
      updateOf(slice, workforce.covers ?? null),
    ),
  );

  // Commit: all shards, all finite. Running statistics are merged, the sides swap, the step counts.
  const decision = decideCommit(plan, shards, slices);
  if (!decision.commit) throw refused(plan.step, decision);
  truth.commit(plan, recipe, workforce.covers ?? plan.shards.map((_, from) => ({ from, width: 1 })));
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
