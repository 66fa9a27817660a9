/** What a profiled rank writes down: every call once, with its costs, and no change of the bits. */
import { planModel } from '@lockstep/coordinator/plan/program-table.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { mergeExpenses, type Profile } from '@lockstep/worker/rank/profile.ts';
import { rankSpaceOf } from '@lockstep/worker/rank/run-shape.ts';
import test from 'ava';
import { inlineRun, smallDataset, steps } from '../../helpers/small-run.ts';

const recipe = parseRecipe({ model: 'resnet8', dataset: 'synthetic', batchSize: 12, shardsPerStep: 3 });
const dataset = smallDataset(24, 8);

const sumOf = (profile: Profile, field: 'calls' | 'seconds' | 'flops' | 'bytes'): number =>
  profile.reduce((sum, expense) => sum + expense[field], 0);

test('calls, operations and bytes are those of the plan; the bits are the same', async (t) => {
  const plain = await inlineRun(recipe, dataset);
  await steps(recipe, dataset, plain, 2);
  t.deepEqual(plain.rank.takeProfile(), []);
  const profiled = await inlineRun(recipe, dataset, 'fma-narrow', { profiled: true });
  await steps(recipe, dataset, profiled, 2);
  t.is(profiled.truth.weightsSha256(), plain.truth.weightsSha256());

  const profile = profiled.rank.takeProfile();
  t.deepEqual(profiled.rank.takeProfile(), []);
  const data = { ...dataset, trainCount: dataset.train.count, testCount: dataset.test.count };
  const { rows } = planModel({ recipe, data, threads: 1, measure: null });
  const kernelsOnly = profile.filter(({ shapes }) => shapes !== '');
  // Two steps of three shards; weights are packed once a step.
  const planned = (field: 'calls' | 'flops' | 'bytes'): number =>
    rows.reduce((sum, row) => sum + (row.section === 'prepare' ? 2 : 6) * row[field], 0);
  for (const field of ['calls', 'flops', 'bytes'] as const) {
    t.is(sumOf(kernelsOnly, field), planned(field), field);
  }
  t.true(sumOf(kernelsOnly, 'seconds') > 0);
  t.is(new Set(profile.map(({ name, shapes }) => `${name} ${shapes}`)).size, profile.length);

  const others = profile.filter(({ shapes }) => shapes === '');
  const { units } = rankSpaceOf(recipe, plain.model, dataset);
  t.deepEqual(others.map(({ name, calls }) => [name, calls]).toSorted(), [
    ['copy weights', 2 * units],
    ['loading', 6],
    ['sum and update', 2],
  ]);
});

test('what is of one kernel and shape is one entry', (t) => {
  const one = { group: 'g', name: 'k', shapes: 's', calls: 1, seconds: 2, flops: 3, bytes: 4 };
  t.deepEqual(mergeExpenses([one, { ...one, shapes: 'other' }, { ...one, calls: 5, seconds: 6 }]), [
    { ...one, calls: 6, seconds: 8, flops: 6, bytes: 8 },
    { ...one, shapes: 'other' },
  ]);
});
