/** Whether and from where a run goes on: the decision is pure, the reading of files is beside it. */

import { dirname, resolve } from 'node:path';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { parseRecipe, type Recipe, type RecipeFieldName, type RecipeInput } from '@lockstep/shared/recipe.ts';
import type { Checkpoint } from './checkpoint.ts';
import { readCheckpoint } from './reader.ts';
import { defaultRunDirectory } from './run-directory.ts';
import { locateCheckpoint, searchCheckpoints } from './search.ts';
import { tidyRunDirectory } from './writer.ts';

/** Where a run goes on. */
export interface ResumePoint {
  readonly path: string;
  readonly checkpoint: Checkpoint;
  /** Why from here, in words. */
  readonly reason: string;
}

export type ResumeDecision =
  | { readonly kind: 'fresh'; readonly reason: string }
  | { readonly kind: 'resume'; readonly recipe: Recipe; readonly reason: string }
  | { readonly kind: 'refused'; readonly error: LockstepError; readonly reason: string };

/** The fields that say how long a run is; all others say what it computes. */
const lengthFields: readonly RecipeFieldName[] = ['epochs', 'steps'];

/**
 * Decides how a run goes on.
 *
 * @param found the newest whole checkpoint, or null when there is none
 * @param given the fields that the user named, in the file or as flags; defaults do not count
 */
export function decideResume(
  found: { readonly recipe: Recipe; readonly step: number } | null,
  given: RecipeInput,
): ResumeDecision {
  if (found === null)
    return { kind: 'fresh', reason: 'there is no whole checkpoint, so the run starts at step 0' };
  const kept = found.recipe;
  // Through the parser, so that a `null` in the file means what it means in a fresh run.
  const asked = parseRecipe({ ...kept, ...given });
  const names = Object.keys(given) as RecipeFieldName[];
  const other = names.find((name) => !lengthFields.includes(name) && asked[name] !== kept[name]);
  if (other !== undefined) return refused(mismatch(other, kept[other], asked[other]));
  // More epochs would come to nothing if an old limit of steps still stood.
  const freed = asked.epochs !== kept.epochs && !('steps' in given) && kept.steps !== null;
  const recipe: Recipe = freed ? { ...asked, steps: null } : asked;
  if (recipe.steps !== null && recipe.steps < found.step) return refused(tooShort(recipe.steps, found.step));
  return { kind: 'resume', recipe, reason: resumeReason(found.step, kept, recipe) };
}

function refused(error: LockstepError): ResumeDecision {
  return { kind: 'refused', error, reason: error.message };
}

function resumeReason(step: number, kept: Recipe, recipe: Recipe): string {
  const changes = lengthFields
    .filter((name) => kept[name] !== recipe[name])
    .map((name) => `${name} ${String(kept[name])} -> ${String(recipe[name])}`);
  const base = `goes on after step ${step}`;
  if (changes.length === 0) return base;
  const stretched =
    recipe.schedule === 'constant'
      ? ''
      : `; the ${recipe.schedule} schedule now spans the new length, so the bits differ from a run of that length`;
  return `${base} with ${changes.join(', ')}${stretched}`;
}

function mismatch(field: RecipeFieldName, kept: unknown, asked: unknown): LockstepError {
  return new LockstepError(
    'RECIPE_MISMATCH',
    `The checkpoint was made with ${field} ${String(kept)}, but the recipe now says ${String(asked)}.`,
    `Only epochs and steps may change on resume: leave ${field} out, or start a new run without --resume.`,
    { field, checkpoint: kept, asked },
  );
}

function tooShort(steps: number, done: number): LockstepError {
  return new LockstepError(
    'RECIPE_MISMATCH',
    `The checkpoint is already at step ${done}, past the ${steps} steps asked for.`,
    `Ask for at least ${done} steps, or start a new run without --resume.`,
    { field: 'steps', checkpoint: done, asked: steps },
  );
}

/**
 * What to tell when a checkpoint goes on with other arithmetic or other code than it was made with; null when there is
 * nothing to tell, or a checkpoint of the first version does not say.
 */
export function otherNumerics(kept: string | undefined, own: string): string | null {
  if (kept === undefined || kept === own) return null;
  return (
    `The checkpoint was computed by another version of Lockstep or by a machine with other arithmetic ` +
    `(${kept.slice(0, 12)}, here ${own.slice(0, 12)}): the run goes on, but not to the bits of one that was never interrupted.`
  );
}

/** What `--resume` came to. */
export interface ResumeOutcome {
  readonly recipe: Recipe;
  readonly point: ResumePoint | null;
  readonly runDirectory: string;
  /** For the user: what was skipped, and where the run starts. */
  readonly notices: readonly string[];
}

/**
 * Carries out `--resume`: finds the checkpoint, reads it and settles the recipe.
 *
 * @param path the checkpoint or run folder the user named; null takes the newest whole one of the run's folder
 * @param out the folder the user chose for the run; null is the checkpoint's own, or the recipe's default
 * @throws LockstepError CHECKPOINT_MISSING, CHECKPOINT_CORRUPT, RECIPE_MISMATCH
 */
export async function resumeRun(
  path: string | null,
  out: string | null,
  given: RecipeInput,
): Promise<ResumeOutcome> {
  if (path !== null) {
    const from = await locateCheckpoint(path);
    const { recipe, point } = await goOn(from, given);
    return { recipe, point, runDirectory: out ?? dirname(resolve(from)), notices: [] };
  }
  const runDirectory = out ?? defaultRunDirectory(parseRecipe(given));
  await tidyRunDirectory(runDirectory);
  const { newest, skipped } = await searchCheckpoints(runDirectory);
  const notices = skipped.map((one) => `Skipped checkpoint ${one.path}: ${one.reason}.`);
  if (newest !== null) return { ...(await goOn(newest.path, given)), runDirectory, notices };
  notices.push(`Nothing to resume in ${runDirectory}: ${decideResume(null, given).reason}.`);
  return { recipe: parseRecipe(given), point: null, runDirectory, notices };
}

async function goOn(from: string, given: RecipeInput): Promise<{ recipe: Recipe; point: ResumePoint }> {
  const checkpoint = await readCheckpoint(from);
  const decision = decideResume(checkpoint, given);
  if (decision.kind === 'refused') throw decision.error;
  const recipe = decision.kind === 'resume' ? decision.recipe : checkpoint.recipe;
  return { recipe, point: { path: from, checkpoint: { ...checkpoint, recipe }, reason: decision.reason } };
}
