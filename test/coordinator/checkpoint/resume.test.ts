import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { decideResume, otherNumerics, resumeRun } from '@lockstep/coordinator/checkpoint/resume.ts';
import { defaultRunDirectory } from '@lockstep/coordinator/checkpoint/run-directory.ts';
import { writeCheckpoint } from '@lockstep/coordinator/checkpoint/writer.ts';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { parseRecipe, type RecipeInput } from '@lockstep/shared/recipe.ts';
import test from 'ava';
import { sampleCheckpoint, withFolder } from '../../helpers/checkpoint-sample.ts';

const at = (step: number, recipe: RecipeInput = {}) => ({ recipe: parseRecipe(recipe), step });

test('nothing found: a fresh run, and it says so', (t) => {
  const decision = decideResume(null, { lr: 3 });
  t.is(decision.kind, 'fresh');
  t.regex(decision.reason, /no whole checkpoint.*step 0/);
});

test('the recipe is the checkpoint’s, not the defaults', (t) => {
  const decision = decideResume(at(20, { lr: 0.5, steps: 100 }), {});
  t.true(decision.kind === 'resume' && decision.recipe.lr === 0.5 && decision.recipe.steps === 100);
  t.is(decision.reason, 'goes on after step 20');
});

test('only the length may change', (t) => {
  const longer = decideResume(at(20, { epochs: 3 }), { epochs: 5, lr: 0.001 });
  t.true(longer.kind === 'resume' && longer.recipe.epochs === 5);
  t.is(longer.reason, 'goes on after step 20 with epochs 3 -> 5');
  const other = decideResume(at(20), { lr: 0.2 });
  t.true(other.kind === 'refused' && other.error.code === 'RECIPE_MISMATCH');
  t.regex(other.reason, /lr 0\.001, but the recipe now says 0\.2/);
});

test('new epochs lift an old limit of steps, and a stretched schedule is pointed out', (t) => {
  const decision = decideResume(at(20, { steps: 20, schedule: 'cosine' }), { epochs: 2 });
  t.true(decision.kind === 'resume' && decision.recipe.steps === null && decision.recipe.epochs === 2);
  t.regex(decision.reason, /epochs 1 -> 2, steps 20 -> null; the cosine schedule now spans the new length/);
});

test('a length that is already passed is refused', (t) => {
  const decision = decideResume(at(20), { steps: 19 });
  t.true(decision.kind === 'refused' && decision.error.code === 'RECIPE_MISMATCH');
  t.is(decideResume(at(20), { steps: 20 }).kind, 'resume');
});

test('other arithmetic or other code than the checkpoint’s is told, an old checkpoint does not say', (t) => {
  const [one, other] = ['a'.repeat(64), 'b'.repeat(64)];
  t.is(otherNumerics(one, one), null);
  t.is(otherNumerics(undefined, one), null);
  t.regex(otherNumerics(one, other) ?? '', /another version.*a{12}, here b{12}.*not to the bits/);
});

test('the newest whole one is taken and the damaged one is mentioned', (t) =>
  withFolder(async (folder) => {
    const whole = await writeCheckpoint(folder, sampleCheckpoint(10), { keep: 3 });
    const damaged = await writeCheckpoint(folder, sampleCheckpoint(20), { keep: 3 });
    await truncate(join(damaged, 'weights.f32'), 4);
    const outcome = await resumeRun(null, folder, {});
    t.is(outcome.point?.path, whole);
    t.is(outcome.point?.checkpoint.step, 10);
    t.is(outcome.notices.length, 1);
    t.true(outcome.notices[0]?.includes(damaged));
  }));

test('nothing to resume is a notice, a named checkpoint that is missing is an error', (t) =>
  withFolder(async (folder) => {
    const outcome = await resumeRun(null, join(folder, 'none'), { lr: 0.5 });
    t.is(outcome.point, null);
    t.is(outcome.recipe.lr, 0.5);
    t.regex(outcome.notices[0] ?? '', /Nothing to resume/);
    const error = await t.throwsAsync(resumeRun(join(folder, 'none'), null, {}));
    t.true(error instanceof LockstepError && error.code === 'CHECKPOINT_MISSING');
  }));

test('a named checkpoint goes on in its own run folder unless --out says otherwise', (t) =>
  withFolder(async (folder) => {
    const path = await writeCheckpoint(folder, sampleCheckpoint(10), { keep: 3 });
    t.is((await resumeRun(path, null, {})).runDirectory, folder);
    t.is((await resumeRun(path, 'elsewhere', {})).runDirectory, 'elsewhere');
  }));

test('a run keeps its folder when its length changes, and only then', (t) => {
  const folder = (recipe: RecipeInput) => defaultRunDirectory(parseRecipe(recipe));
  t.regex(folder({}), /^runs[/\\]resnet20-cifar10-[0-9a-f]{8}$/);
  t.is(folder({ epochs: 9, steps: 3 }), folder({}));
  t.not(folder({ lr: 0.5 }), folder({}));
  t.regex(folder({ dataset: '/some/where/my pets/' }), /resnet20-my_pets-/);
});
