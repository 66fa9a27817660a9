/** The same weights for any number of threads, in both batch-norm modes and all wire types, whatever is lost on the way. */
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { LocalSync } from '@lockstep/coordinator/reduce/local-sync.ts';
import { parseRecipe, type RecipeInput } from '@lockstep/shared/recipe.ts';
import { tasksPerRank } from '@lockstep/worker/rank/tasks-in-hand.ts';
import test from 'ava';
import { failNext, smallDataset, steps, threadedRun } from '../helpers/small-run.ts';

// Batches of 10 and 3: shards of 2, 3, 2 and 3 images, then of 0, 1, 1 and 1.
const dataset = smallDataset(13, 12);
const base: RecipeInput = {
  model: 'resnet8',
  dataset: 'synthetic',
  batchSize: 10,
  shardsPerStep: 4,
  shortcut: 'B',
  lr: 0.01,
  batchNormMomentum: 0.3,
};
const stepCount = 4;

/** SHA-256 after four steps. @param drill called between two steps with the number of committed ones */
async function weightsOf(
  given: RecipeInput,
  threads: number,
  drill: ((fail: (...ranks: number[]) => Promise<void>, step: number) => Promise<void>) | null = null,
): Promise<{ sha256: string; lost: number }> {
  const recipe = parseRecipe({ ...base, ...given });
  let lost = 0;
  const session = await threadedRun(recipe, dataset, threads, () => void (lost += 1));
  // Asking a rank does not keep a process alive.
  const alive = setInterval(() => {}, 1000);
  try {
    const afterCommit = async ({ plan }: { plan: { step: number } }): Promise<void> =>
      drill?.((...ranks) => failNext(session, 'exit-midway', ...ranks), plan.step + 1);
    await steps(recipe, dataset, session, stepCount, afterCommit, drill !== null);
    return { sha256: session.truth.weightsSha256(), lost };
  } finally {
    clearInterval(alive);
    await session.close();
  }
}

const cases: readonly RecipeInput[] = (['shard', 'sync'] as const).flatMap((batchNorm) =>
  (['f32', 'bf16', 'f16'] as const).map((wireDtype) => ({ batchNorm, wireDtype })),
);

for (const given of cases) {
  const name = `${given.batchNorm}, ${given.wireDtype}`;
  test.serial(`${name}: 1, 2 and 3 threads end with the same weights`, async (t) => {
    const { sha256 } = await weightsOf(given, 1);
    for (const threads of [2, 3])
      t.is((await weightsOf(given, threads)).sha256, sha256, `${threads} threads`);
  });

  test.serial(`${name}: ranks that die in the middle of steps change nothing`, async (t) => {
    const { sha256 } = await weightsOf(given, 1);
    const disturbed = await weightsOf(given, 2, async (fail, step) => {
      if (step === 1) await fail(0);
      // Both at once.
      if (step === 2) await fail(0, 1);
    });
    t.is(disturbed.sha256, sha256);
    // With what each was at, what it had in hand.
    t.true(disturbed.lost >= 3 && disturbed.lost <= 3 * tasksPerRank, `${disturbed.lost} lost`);
  });
}

test.serial('every mode and type is another result', async (t) => {
  const all = await Promise.all(cases.map((given) => weightsOf(given, 1)));
  t.is(new Set(all.map(({ sha256 }) => sha256)).size, cases.length);
});

test.serial(
  'a group of shards that nobody can compute: the other ranks come back, and the next step goes well',
  async (t) => {
    const recipe = parseRecipe({ ...base, batchNorm: 'sync' });
    const session = await threadedRun(recipe, dataset, 2);
    try {
      const sync = new LocalSync(session.truth.store, session.layout);
      const plan = planStep(recipe, 13, 0);
      const tasks = plan.shards.map((samples, shard) => ({
        ...({ kind: 'shard', step: 0, side: 0, epoch: 0, shard, samples } as const),
      }));
      let others = 0;
      const failing = sync.compute(tasks, 2, async (task) => {
        if (task.shards[0]?.shard === 0) throw new Error('nobody is left');
        const outcome = await session.pool.run(task);
        if (!outcome.ok) throw new Error(outcome.reason);
        others += 1;
        t.false(outcome.report.finished);
        return outcome.report;
      });
      await t.throwsAsync(failing, { message: 'nobody is left' });
      t.is(others, 1);
      const committed = await steps(recipe, dataset, session, stepCount);
      t.is(committed.length, stepCount);
      t.is(session.truth.weightsSha256(), (await weightsOf({ batchNorm: 'sync' }, 1)).sha256);
    } finally {
      await session.close();
    }
  },
);
