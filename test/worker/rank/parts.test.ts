/** Partial sums for somebody to send: part by part while ranks compute, in every wire type; weights that come late. */
import { initialise } from '@lockstep/shared/model/initialisation.ts';
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import { bytesPerFloat, decodeFloats, encodeFloats, roundFloats } from '@lockstep/shared/protocol/dtype.ts';
import type { WireDtype } from '@lockstep/shared/protocol/messages.ts';
import { stateNames } from '@lockstep/shared/optimizer/rule.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { combineTree } from '@lockstep/shared/reduce/tree.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import { type FinishedPart, watchParts } from '@lockstep/worker/rank/part-watch.ts';
import { type RankHost, startHost } from '@lockstep/worker/rank/rank-host.ts';
import type { ShardReport, ShardTask, SubtreeOutlet } from '@lockstep/worker/rank/tasks.ts';
import test, { type ExecutionContext } from 'ava';
import { smallDataset } from '../../helpers/small-run.ts';

const dataset = smallDataset(24, 12);
const subtree: SubtreeOutlet = { from: 4, width: 4, outbox: 1 };
/** Uneven, and one is empty. */
const samplesOf: Readonly<Record<number, readonly number[]>> = {
  4: [1, 2, 3],
  5: [4, 5],
  6: [],
  7: [6, 7, 8],
};

const taskOf = (shard: number, more: Partial<ShardTask> = {}): ShardTask => ({
  ...({ kind: 'shard', step: 0, side: 0, epoch: 0, shard, samples: samplesOf[shard] ?? [] } as const),
  ...more,
});

async function host(wireDtype: WireDtype): Promise<RankHost> {
  const recipe = parseRecipe({
    model: 'resnet8',
    dataset: 'synthetic',
    batchSize: 24,
    shardsPerStep: 8,
    wireDtype,
  });
  const module = await compileKernels('fma-narrow');
  const kernels = { build: 'fma-narrow', module, fingerprint: '', reason: 'a test asks for it' } as const;
  const made = await startHost({
    recipe,
    dataset,
    threads: 2,
    kernels,
    state: stateNames(recipe.optimizer),
    outboxes: 2,
  });
  made.store.weights(0).set(initialise(made.layout, 1));
  return made;
}

async function run(t: ExecutionContext, { pool }: RankHost, task: ShardTask): Promise<ShardReport> {
  const outcome = await pool.run(task);
  if (!outcome.ok) throw new Error(outcome.reason);
  t.is(outcome.report.shard, task.shard);
  return outcome.report;
}

/** The sum of the subtree's slots by the tree's definition, as it travels. */
function expectedBytes({ store }: RankHost, dtype: WireDtype): Uint8Array {
  const rounded = (values: Float32Array): Float32Array => {
    roundFloats(values, dtype);
    return values;
  };
  const sum = combineTree(
    subtree.width,
    (i) => rounded(Float32Array.from(store.slot(subtree.from + i))),
    (a, b) => rounded(a.map((x, i) => x + (b[i] as number))),
  );
  return Uint8Array.from(encodeFloats(sum, dtype).bytes);
}

/** Where two vectors differ first; -1: nowhere. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Math.min(a.length, b.length);
  return Array.from(a).findIndex((x, i) => !Object.is(x, b[i]));
}

const bytesOf = ({ store, layout }: RankHost, outbox: number, dtype: WireDtype): Uint8Array =>
  Uint8Array.from(store.outbox(outbox, 0, layout.parameterCount, bytesPerFloat[dtype]));

for (const dtype of ['f32', 'bf16', 'f16'] as const) {
  test.serial(
    `${dtype}: every part comes once, in order, and is the sum of the tree; a subtree task gives the same`,
    async (t) => {
      const made = await host(dtype);
      const { store, layout, pool } = made;
      const found: FinishedPart[] = [];
      const all = Promise.withResolvers<void>();
      const ranges = gradientParts(layout);
      const shards = [4, 5, 6, 7];
      const rest = (): unknown[] => shards.map((shard) => [store.result(shard), [...store.moments(shard)]]);
      let told: unknown[] = [];
      const stop = watchParts(store, layout, subtree.outbox, (part) => {
        found.push(part);
        if (found.length < ranges.length) return;
        told = rest();
        all.resolve();
      });
      for (const shard of shards) store.control.begin(shard);
      t.deepEqual(
        shards.map((shard) => store.result(shard)),
        shards.map(() => null),
      );
      const reports = await Promise.all(shards.map((shard) => run(t, made, taskOf(shard, { subtree }))));
      await all.promise;
      stop();
      // With the last part all is there that is sent with it.
      t.deepEqual(told, rest());
      for (const { shard, lossSum, correct } of reports) {
        t.like(store.result(shard), { shard, lossSum, correct });
      }
      t.deepEqual(
        found,
        ranges.map(({ from, to }, part) => ({ part, from, to, notFinite: 0 })),
      );
      const expected = expectedBytes(made, dtype);
      t.is(difference(bytesOf(made, subtree.outbox, dtype), expected), -1);
      const half = layout.parameterCount >> 1;
      for (const slice of [
        { from: 0, to: half },
        { from: half, to: layout.parameterCount },
      ]) {
        const outcome = await pool.run({ kind: 'subtree', ...subtree, outbox: 0, slice });
        t.like(outcome, { ok: true, report: { kind: 'subtree', notFinite: 0 } });
      }
      t.is(difference(bytesOf(made, 0, dtype), expected), -1);
      await pool.close();
    },
  );
}

test.serial('a sum whose rank died is summed by whoever computes the lost shard again', async (t) => {
  const made = await host('bf16');
  const { store, layout, pool } = made;
  const { control } = store;
  const parts: number[] = [];
  const all = Promise.withResolvers<void>();
  const stop = watchParts(store, layout, subtree.outbox, ({ part }) => {
    parts.push(part);
    if (parts.length === gradientParts(layout).length) all.resolve();
  });
  for (const shard of [4, 5, 6, 7]) control.begin(shard);
  // As if a rank had died while it summed the first part.
  t.true(control.takePart(subtree.outbox, 0));
  await Promise.all([4, 5, 6, 7].map((shard) => run(t, made, taskOf(shard, { subtree }))));
  t.is(control.finished(subtree.outbox, 0), null);
  t.deepEqual(parts, []);
  control.reopenTaken(subtree.outbox);
  control.begin(5);
  await run(t, made, taskOf(5, { subtree }));
  await all.promise;
  stop();
  t.deepEqual(parts, [...gradientParts(layout).keys()]);
  t.is(difference(bytesOf(made, subtree.outbox, 'bf16'), expectedBytes(made, 'bf16')), -1);
  await pool.close();
});

test.serial('half floats that overflow are counted, part by part', async (t) => {
  const made = await host('f16');
  const { store, layout, pool } = made;
  store.slot(4).fill(40_000);
  store.slot(5).fill(40_000);
  const slice = { from: 10, to: 5010 };
  const outcome = await pool.run({ kind: 'subtree', from: 4, width: 2, outbox: 0, slice });
  t.like(outcome, { ok: true, report: { notFinite: 5000 } });
  t.true(layout.parameterCount > 5010);
  await pool.close();
});

test.serial(
  'a rank loads its samples and sleeps until the weights are there; a shard that is taken back ends at once',
  async (t) => {
    const made = await host('f32');
    const { store, pool } = made;
    const { control } = store;
    await run(t, made, taskOf(4));
    const slot = Float32Array.from(store.slot(4));
    store.slot(4).fill(0);
    for (const shard of [4, 5]) control.begin(shard);
    let early = true;
    const [four, five] = [4, 5].map(async (shard) => {
      const report = await run(t, made, taskOf(shard, { step: 7, side: 1, awaitWeights: true }));
      return { report, early };
    });
    await new Promise((resolve) => void setTimeout(resolve, 100));
    control.revoke(5);
    t.like(await five, { report: { revoked: true, lossSum: 0 }, early: true });
    store.weights(1).set(store.weights(0));
    early = false;
    control.publishWeights(1, 7);
    const { report, early: before } = (await four) as { report: ShardReport; early: boolean };
    t.false(before);
    t.is(report.revoked, undefined);
    t.is(difference(store.slot(4), slot), -1);
    // Revoked before it began.
    control.begin(7);
    control.revoke(7);
    t.like(await run(t, made, taskOf(7)), { revoked: true });
    await pool.close();
  },
);

test.serial(
  'weights are rounded wherever they are used: a short type gives what rounded weights give',
  async (t) => {
    const short = await host('bf16');
    const long = await host('f32');
    const weights = Float32Array.from(long.store.weights(0));
    const copy = new Float32Array(weights.length);
    decodeFloats(encodeFloats(weights, 'bf16').bytes, 'bf16', copy);
    long.store.weights(0).set(copy);
    for (const made of [short, long]) await run(t, made, taskOf(4));
    t.is(difference(short.store.slot(4), long.store.slot(4)), -1);
    t.is(difference(short.store.weights(0), weights), -1, 'the master weights keep all their bits');
    for (const { pool } of [short, long]) await pool.close();
  },
);

for (const dtype of ['f32', 'bf16'] as const) {
  test.serial(
    `${dtype}: slices over sums of subtrees update the weights as slices over single shards do`,
    async (t) => {
      const made = await host(dtype);
      const { store, layout, pool } = made;
      for (const shard of [0, 1, 2, 3, 4, 5, 6, 7]) {
        await run(t, made, taskOf(shard, { samples: [2 * shard, 2 * shard + 1] }));
      }
      const update = async (
        covers: readonly { from: number; width: number }[] | null,
      ): Promise<Float32Array> => {
        const slice = { from: 0, to: layout.parameterCount };
        const outcome = await pool.run({
          ...({ kind: 'slice', side: 0, ...slice, update: 1, learningRate: 0.1, samples: 16 } as const),
          ...(covers ? { covers: covers.map((cover) => ({ ...cover, slot: cover.from })) } : {}),
        });
        if (!outcome.ok) throw new Error(outcome.reason);
        return Float32Array.from(store.weights(1));
      };
      const wanted = await update(null);
      const slice = { from: 0, to: layout.parameterCount };
      await pool.run({ kind: 'subtree', from: 0, width: 4, outbox: 0, slice });
      const bytes = Uint8Array.from(store.outbox(0, 0, layout.parameterCount, bytesPerFloat[dtype]));
      decodeFloats(bytes, dtype, store.slot(0));
      for (const covered of [1, 2, 3]) store.slot(covered).fill(Number.NaN);
      const singles = [4, 5, 6, 7].map((from) => ({ from, width: 1 }));
      t.is(difference(await update([...singles, { from: 0, width: 4 }]), wanted), -1);
      await pool.close();
    },
  );
}
