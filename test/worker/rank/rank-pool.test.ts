/** Ranks on threads that fail and are replaced: the result never changes. */
import { attemptLimit } from '@lockstep/coordinator/plan/assignment.ts';
import type { Session } from '@lockstep/coordinator/session.ts';
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { parseRecipe, type Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import { RankPool } from '@lockstep/worker/rank/rank-pool.ts';
import { rankSpaceOf } from '@lockstep/worker/rank/run-shape.ts';
import type { Fault } from '@lockstep/worker/rank/rank-thread.ts';
import test from 'ava';
import { sameWords } from '../../helpers/bits.ts';
import { failNext, inlineRun, smallDataset, steps, threadedRun } from '../../helpers/small-run.ts';

const common = { dataset: 'synthetic', batchSize: 10, shardsPerStep: 4 } as const;
const resnet: readonly [Recipe, Dataset] = [
  parseRecipe({ ...common, model: 'resnet8' }),
  smallDataset(33, 8),
];
const lenet: readonly [Recipe, Dataset] = [
  parseRecipe({ ...common, model: 'lenet5', optimizer: 'sgd' }),
  smallDataset(33, 28),
];
const lastStep = 4;

/** The hash that one rank, in this thread and without faults, arrives at. */
async function expectedHash([recipe, dataset]: readonly [Recipe, Dataset], last = lastStep): Promise<string> {
  const run = await inlineRun(recipe, dataset);
  await steps(recipe, dataset, run, last);
  return run.truth.weightsSha256();
}

type Lost = readonly [task: string, shard: number | null, reason: string];

/** Runs on threads with `disturb` after each step; returns the hash and who was lost. */
async function disturbedRun(
  [recipe, dataset]: readonly [Recipe, Dataset],
  threads: number,
  disturb: (session: Session, step: number, lost: readonly Lost[]) => Promise<void>,
  rests = true,
  last = lastStep,
): Promise<{ hash: string; lost: Lost[] }> {
  const lost: Lost[] = [];
  const session = await threadedRun(recipe, dataset, threads, (...what) => void lost.push(what));
  try {
    await disturb(session, 0, lost);
    const drill = ({ plan }: { plan: { step: number } }): Promise<void> =>
      disturb(session, plan.step + 1, lost);
    await steps(recipe, dataset, session, last, drill, rests);
    return { hash: session.truth.weightsSha256(), lost };
  } finally {
    await session.close();
  }
}

test.serial('one, two and three threads give the bits of one rank alone', async (t) => {
  for (const run of [resnet, lenet]) {
    const expected = await expectedHash(run);
    for (const threads of [1, 2, 3]) {
      const { hash, lost } = await disturbedRun(run, threads, async () => {}, false);
      t.is(hash, expected, `${run[0].model} on ${threads}`);
      t.deepEqual(lost, []);
    }
  }
});

for (const fault of ['throw', 'exit', 'exit-midway'] as const) {
  test.serial(`a rank that ends by '${fault}' is replaced and its shards are computed again`, async (t) => {
    for (const run of [resnet, lenet]) {
      const { hash, lost } = await disturbedRun(run, 2, async (session, step) => {
        if (step === 1) await failNext(session, fault, 1);
      });
      t.is(hash, await expectedHash(run));
      t.is(lost.length, 1);
      for (const [task, shard, reason] of lost) {
        // Unless it was in the middle of a shard, it had none.
        t.is(task, fault === 'exit-midway' ? 'shard' : 'round');
        t.is(shard === null, fault !== 'exit-midway');
        const what = shard === null ? 'a round' : `shard ${shard}`;
        t.regex(reason, new RegExp(`^${what} was lost \\(.+\\); another rank computes it$`));
      }
      if (fault === 'throw') t.true(lost.some(([, , reason]) => /a drill made this rank fail/.test(reason)));
    }
  });
}

test.serial('several faults in a row, and both ranks at once', async (t) => {
  const drills: (readonly [how: Fault, rank: number])[][] = [
    [['exit', 0]],
    [['throw', 0]],
    [
      ['exit', 0],
      ['throw', 1],
    ],
    [['exit', 1]],
  ];
  // A rank that wakes when the others have done everything fails in a later step.
  const last = 60;
  let ordered = 0;
  const { hash, lost } = await disturbedRun(
    resnet,
    2,
    async (session, _step, gone) => {
      const next = gone.length >= ordered ? (drills.shift() ?? []) : [];
      ordered += next.length;
      await Promise.all(next.map(([how, rank]) => failNext(session, how, rank)));
    },
    true,
    last,
  );
  t.is(hash, await expectedHash(resnet, last));
  t.deepEqual(drills, []);
  t.true(lost.length >= 5, `${lost.length} lost`);
});

test.serial('a single thread that dies is replaced while everybody waits', async (t) => {
  const { hash, lost } = await disturbedRun(resnet, 1, async ({ pool }, step) => {
    if (step < 3) await pool.failNext(0, step === 1 ? 'throw' : 'exit');
  });
  t.is(hash, await expectedHash(resnet));
  t.is(lost.length, 3);
});

for (const fault of ['throw', 'exit'] as const) {
  test.serial(
    `a fault by '${fault}' during a slice: the slice is computed again from the same side`,
    async (t) => {
      const [recipe, dataset] = resnet;
      const lost: Lost[] = [];
      const session = await threadedRun(recipe, dataset, 2, (...what) => void lost.push(what));
      try {
        const { workforce, truth } = session;
        // Who asks for shards alone has the slices to do afterwards.
        const disturbed = {
          ranks: workforce.ranks,
          nodes: 1,
          publish: workforce.publish.bind(workforce),
          gathered: workforce.gathered.bind(workforce),
          computeShards: async (tasks: Parameters<typeof workforce.computeShards>[0]) => {
            await failNext(session, 'exit-midway', 0);
            return workforce.computeShards(tasks);
          },
          updateSlices: async (tasks: Parameters<typeof workforce.updateSlices>[0]) => {
            await failNext(session, fault, truth.step % 2);
            return workforce.updateSlices(tasks);
          },
          evaluate: workforce.evaluate.bind(workforce),
          close: async () => {},
        };
        await steps(recipe, dataset, { truth, workforce: disturbed }, lastStep);
        t.is(truth.weightsSha256(), await expectedHash(resnet));
        const slices = lost.filter(([task]) => task === 'slice');
        t.true(slices.length > 0 && slices.every(([, shard]) => shard === null));
        t.true(lost.some(([task]) => task === 'shard'));
      } finally {
        await session.close();
      }
    },
  );
}

test.serial(
  'a task that is lost again and again ends the run, and the truth is the one before the step',
  async (t) => {
    const [recipe, dataset] = resnet;
    const reasons: string[] = [];
    const session = await threadedRun(recipe, dataset, 1, (_, __, reason) => void reasons.push(reason));
    try {
      const { truth, pool } = session;
      await steps(recipe, dataset, session, 1);
      const before = truth.weightsSha256();
      // A task that no rank can do: its gradient has no place in the store, so every rank throws.
      const shard = 1e6;
      const task = { kind: 'shard', step: 1, side: truth.side, epoch: 0, shard, samples: [0, 1] } as const;
      const error = await t.throwsAsync(session.workforce.computeShards([task]));
      t.like(error, { code: 'RANK_FAILED', values: { task: 'shard', shard, attempts: attemptLimit } });
      t.regex(error?.message ?? '', /shard 1000000 was lost 4 times/);
      t.is(reasons.length, attemptLimit - 1);
      t.is(truth.step, 1);
      t.is(truth.weightsSha256(), before);
      // The pool lives on: the run can go on with what there is.
      await steps(recipe, dataset, session, lastStep);
      t.is(truth.weightsSha256(), await expectedHash(resnet));
      t.is((await pool.describe()).length, 1);
    } finally {
      await session.close();
    }
  },
);

test.serial(
  'ranks say how large they are; a closed pool answers with a reason instead of hanging',
  async (t) => {
    const session = await threadedRun(...resnet, 2);
    const descriptions = await session.pool.describe();
    t.is(new Set(descriptions.map(({ threadId }) => threadId)).size, 2);
    t.true(descriptions.every(({ arenaBytes }) => arenaBytes >= session.memory.arenaBytes));
    await session.close();
    const task = { kind: 'evaluation', step: 0, side: 0, split: 'test', from: 0, count: 1 } as const;
    const outcome = await session.pool.run(task);
    t.false(outcome.ok);
  },
);

test.serial('ranks in one hall, and in several, leave the same gradients', async (t) => {
  const [recipe, dataset] = resnet;
  const run = await inlineRun(recipe, dataset);
  const { model, store } = run;
  const { shards, epoch } = planStep(recipe, dataset.train.count, 0);
  const first = { kind: 'shard', step: 0, side: 0, epoch } as const;
  const tasks = shards.map((samples, shard) => ({ ...first, shard, samples }));
  const gradients = (): Float32Array =>
    Float32Array.from(shards.flatMap((_, shard) => [...store.slot(shard)]));
  for (const task of tasks) run.rank.run(task);
  const expected = gradients();
  const setup = { recipe, model, dataset, module: await compileKernels('fma-narrow'), profiled: false };
  const memory = { storeMemory: store.arena.memory, storeLayout: store.layout };
  const space = rankSpaceOf(recipe, model, dataset);
  // Of which two have room; nobody touches most of it.
  for (const ownBytes of [space.ownBytes, 1.5 * 2 ** 30]) {
    for (const [shard] of shards.entries()) store.slot(shard).fill(Number.NaN);
    const pool = await RankPool.start({ ...setup, ...memory, space: { ...space, ownBytes } }, 3);
    const outcomes = await Promise.all(tasks.map((task) => pool.run(task)));
    await pool.close();
    t.true(outcomes.every(({ ok }) => ok));
    t.notThrows(() => sameWords(gradients(), expected, `${ownBytes} bytes for each rank`));
  }
});

test.serial('ranks whose set-up fails do not start: an error, and nothing hangs', async (t) => {
  const session = await threadedRun(...resnet, 1);
  await session.close();
  const [recipe, dataset] = resnet;
  const { model, kernels, truth } = session;
  const setup = { recipe, model, dataset, module: kernels.module, storeLayout: truth.store.layout };
  const places = { storeMemory: truth.store.arena.memory, profiled: false };
  // More than WebAssembly can address.
  const space = rankSpaceOf(recipe, model, dataset);
  const tooLarge = RankPool.start({ ...setup, ...places, space: { ...space, ownBytes: 2 ** 33 } }, 2);
  t.like(await t.throwsAsync(tooLarge), { code: 'ARENA_TOO_LARGE' });
  const noModule = { ...setup, module: {} as WebAssembly.Module };
  const broken = RankPool.start({ ...noModule, ...places, space }, 2);
  t.like(await t.throwsAsync(broken), { code: 'RANK_FAILED' });
});
