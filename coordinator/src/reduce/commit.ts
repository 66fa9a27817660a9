/** The commit decision: all shards in, every sample once, everything finite. */
import type { ShardReport, SliceReport } from '@lockstep/worker/rank/tasks.ts';
import type { StepPlan } from '@lockstep/shared/plan/batch-plan.ts';

export interface CommitDecision {
  readonly commit: boolean;
  readonly reason: string;
}

/** Pure: may this step become part of the run? */
export function decideCommit(
  plan: StepPlan,
  shards: readonly ShardReport[],
  slices: readonly SliceReport[],
): CommitDecision {
  const missing = plan.shards.findIndex((_, shard) => shards.filter((r) => r.shard === shard).length !== 1);
  if (missing >= 0) return refuse(`shard ${missing} did not come in exactly once`);
  const stray = shards.find((report) => !plan.shards[report.shard]);
  if (stray) return refuse(`shard ${stray.shard} was not planned`);
  const wrong = shards.find((report) => report.samples !== plan.shards[report.shard]?.length);
  if (wrong) return refuse(`shard ${wrong.shard} counted ${wrong.samples} samples`);
  const badLoss = shards.find((report) => !Number.isFinite(report.lossSum));
  if (badLoss) return refuse(`the loss of shard ${badLoss.shard} is ${badLoss.lossSum}`);
  const notFinite = slices.reduce((sum, slice) => sum + slice.notFinite, 0);
  if (notFinite > 0) return refuse(`${notFinite} gradients are NaN or infinite`);
  return { commit: true, reason: `all ${shards.length} shards in, ${plan.samples} samples, all finite` };
}

function refuse(reason: string): CommitDecision {
  return { commit: false, reason };
}
