/** Steps on threads that go on by themselves: few messages, the same bits, and no step begun that nobody finishes. */
import { runSteps } from '@lockstep/coordinator/run-loop.ts';
import type { Session } from '@lockstep/coordinator/session.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import type { RankTask } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';
import { inlineRun, smallDataset, steps, threadedRun } from '../../helpers/small-run.ts';

const recipe = parseRecipe({ model: 'resnet8', dataset: 'synthetic', batchSize: 10, shardsPerStep: 4 });
const dataset = smallDataset(33, 8);

async function expectedHash(count: number): Promise<string> {
  const run = await inlineRun(recipe, dataset);
  await steps(recipe, dataset, run, count);
  return run.truth.weightsSha256();
}

/** Kinds of the tasks that ranks are given from now on. */
function watchTasks({ pool }: Session): string[] {
  const kinds: string[] = [];
  const run = pool.run.bind(pool);
  pool.run = <T extends RankTask>(task: T) => {
    kinds.push(task.kind);
    return run(task);
  };
  return kinds;
}

test.serial(
  'hundreds of steps that are shorter than a message: no rank begins one before it may',
  async (t) => {
    const tiny = parseRecipe({
      model: 'softmax-regression',
      dataset: 'synthetic',
      batchSize: 8,
      shardsPerStep: 4,
    });
    const count = 400;
    const alone = await inlineRun(tiny, dataset);
    await steps(tiny, dataset, alone, count);
    for (const threads of [2, 3, 4]) {
      const session = await threadedRun(tiny, dataset, threads);
      try {
        await steps(tiny, dataset, session, count);
        t.is(session.truth.weightsSha256(), alone.truth.weightsSha256(), `${threads} threads`);
      } finally {
        await session.close();
      }
    }
  },
);

const pause = (milliseconds: number): Promise<void> => new Promise((go) => setTimeout(go, milliseconds));

test.serial(
  'ranks go on with the next step by themselves: fewer tasks than steps, the same bits',
  async (t) => {
    const counts: number[] = [];
    // Beside other programs the main thread may be late with the next step: then ranks come back between the two.
    while (counts.length < 8 && counts.every((count) => count >= 12)) {
      const session = await threadedRun(recipe, dataset, 2);
      try {
        const kinds = watchTasks(session);
        await steps(recipe, dataset, session, 12);
        t.is(session.truth.weightsSha256(), await expectedHash(12));
        t.true(kinds.every((kind) => kind === 'round'));
        counts.push(kinds.length);
      } finally {
        await session.close();
      }
    }
    t.true(Math.min(...counts) < 12, `${counts.join(', ')} tasks`);
  },
);

test.serial(
  'whatever happens between two steps takes its time: ranks are at most one step ahead',
  async (t) => {
    const session = await threadedRun(recipe, dataset, 2);
    try {
      const { truth } = session;
      await steps(recipe, dataset, session, 6, async () => {
        const before = truth.weightsSha256();
        const views = truth.views();
        const moments = Object.values(views.optimizer).map((vector) => Float32Array.from(vector));
        await pause(60);
        // What a checkpoint would be made of does not change under its hands.
        t.is(truth.weightsSha256(), before);
        t.deepEqual(Object.values(truth.views().optimizer), moments);
      });
      t.is(truth.weightsSha256(), await expectedHash(6));
    } finally {
      await session.close();
    }
  },
);

test.serial('a step that ranks have begun is finished when the run is interrupted', async (t) => {
  const session = await threadedRun(recipe, dataset, 2);
  try {
    const { truth, workforce } = session;
    const end = new AbortController();
    const run = {
      recipe,
      trainCount: dataset.train.count,
      lastStep: 50,
      workforce,
      truth,
      signal: end.signal,
    };
    await runSteps(run, async ({ plan }) => {
      if (plan.step === 3) end.abort();
    });
    t.true(truth.step === 4 || truth.step === 5, `${truth.step} steps`);
    t.is(truth.weightsSha256(), await expectedHash(truth.step));
    // Nobody is at anything any more, and the run can go on.
    const kinds = watchTasks(session);
    await steps(recipe, dataset, session, 8);
    t.is(truth.weightsSha256(), await expectedHash(8));
    t.true(kinds.length > 0);
  } finally {
    await session.close();
  }
});

test.serial('where the ranks are wanted for something else, they have come back', async (t) => {
  const session = await threadedRun(recipe, dataset, 3);
  try {
    const { truth, workforce } = session;
    const { signal } = new AbortController();
    const run = { recipe, trainCount: dataset.train.count, lastStep: 6, workforce, truth, signal };
    const evaluation = { kind: 'evaluation', split: 'test', from: 0, count: 7 } as const;
    await runSteps({ ...run, restsAfter: (count) => count % 2 === 0 }, async () => {
      if (truth.step % 2 !== 0) return;
      const task = { ...evaluation, step: truth.step, side: truth.side };
      const [report] = await workforce.evaluate([task], () => {});
      t.is(report?.predictions.length, 7);
    });
    t.is(truth.weightsSha256(), await expectedHash(6));
  } finally {
    await session.close();
  }
});

test.serial(
  'a gradient that is not finite: the step is refused although the next one was open',
  async (t) => {
    const session = await threadedRun(recipe, dataset, 2);
    try {
      const { truth } = session;
      let before = '';
      const failed = await t.throwsAsync(
        steps(recipe, dataset, session, 6, async ({ plan }) => {
          if (plan.step !== 1) return;
          // Ranks have finished the next step by then, and the one behind it is not open.
          await pause(200);
          truth.store.weights(truth.side === 0 ? 1 : 0)[5] = Number.NaN;
          before = truth.weightsSha256();
        }),
      );
      t.like(failed, { code: 'STEP_NOT_FINITE', values: { step: 4 } });
      t.is(truth.step, 3);
      t.not(truth.weightsSha256(), before);
      // The ranks are there, and what was open is not.
      truth.side = 0;
      truth.begin(recipe.seed);
      await steps(recipe, dataset, session, 4);
      t.is(truth.weightsSha256(), await expectedHash(4));
    } finally {
      await session.close();
    }
  },
);
