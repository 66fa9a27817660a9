/** Was every step applied once, with the samples and the loss of the undisturbed run? Pure. */
import type { JsonLine } from '../helpers/lockstep-process.ts';
import { type Reference, type StepFigures, stepFigures } from '../helpers/cluster.ts';

export interface Ledger {
  /** What is wrong; empty when all is well. */
  readonly complaints: readonly string[];
  /** Commits of all lives of the coordinator, and those that a kill took back. */
  readonly commits: number;
  readonly repeated: number;
  readonly samples: number;
}

/**
 * Follows a run through the lives of its coordinator. Each life goes on from a step that was committed before; what
 * came after that step in the life before is void. What is left must be the reference, step by step, bit by bit.
 *
 * @param lives all events of each life, in order
 */
export function auditCommits(lives: readonly (readonly JsonLine[])[], reference: Reference): Ledger {
  const complaints: string[] = [];
  let kept: StepFigures[] = [];
  let commits = 0;
  let repeated = 0;
  for (const [life, events] of lives.entries()) {
    const start = events.find((event) => event.type === 'start');
    const steps = stepFigures(events);
    commits += steps.length;
    if (start === undefined) {
      if (steps.length > 0) complaints.push(`life ${life + 1} committed steps before its start`);
      continue;
    }
    const fromStep = start['fromStep'] as number;
    if (fromStep > kept.length) {
      complaints.push(`life ${life + 1} goes on from step ${fromStep}; only ${kept.length} were committed`);
    }
    repeated += Math.max(0, kept.length - fromStep);
    kept = kept.slice(0, fromStep);
    for (const figures of steps) {
      if (figures.step !== kept.length + 1) {
        complaints.push(`life ${life + 1} committed step ${figures.step} after step ${kept.length}`);
      }
      kept.push(figures);
    }
  }
  complaints.push(...differences(kept, reference));
  const samples = kept.reduce((sum, step) => sum + step.samples, 0);
  if (samples !== reference.samples) {
    complaints.push(`${samples} samples were counted instead of ${reference.samples}`);
  }
  return { complaints, commits, repeated, samples };
}

/** The lives of a run in its own log: each begins with a start. */
export function livesOf(log: readonly JsonLine[]): JsonLine[][] {
  const lives: JsonLine[][] = [];
  for (const event of log) {
    if (event.type === 'start' || lives.length === 0) lives.push([]);
    lives.at(-1)?.push(event);
  }
  return lives;
}

/** The first step that is not the reference's. */
function differences(steps: readonly StepFigures[], reference: Reference): string[] {
  if (steps.length !== reference.steps.length) {
    return [`${steps.length} steps are left instead of ${reference.steps.length}`];
  }
  const at = reference.steps.findIndex((expected, i) => {
    const found = steps[i];
    return (['step', 'samples', 'loss', 'accuracy'] as const).some((key) => found?.[key] !== expected[key]);
  });
  if (at < 0) return [];
  const [found, expected] = [JSON.stringify(steps[at]), JSON.stringify(reference.steps[at])];
  return [`step ${at + 1} is the first that differs: ${found} instead of ${expected}`];
}
