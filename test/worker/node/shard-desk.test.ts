/** A desk with real ranks: wrong weights that come again, for the same step, and shards that ranks have in hand. */
import { initialise } from '@lockstep/shared/model/initialisation.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import test from 'ava';
import { benchShards, DeskBench, withHost } from '../../helpers/desk-bench.ts';

for (const batchNorm of ['shard', 'sync'] as const) {
  const given = {
    model: 'resnet8',
    dataset: 'synthetic',
    batchSize: 32,
    shardsPerStep: benchShards,
  } as const;
  const recipe = parseRecipe({ ...given, batchNorm });

  test.serial(
    `${batchNorm}: weights that diverged are forgotten, packed ones too, and those that follow count`,
    (t) =>
      withHost(recipe, 2, async (host) => {
        const right = initialise(host.layout, 1);
        const expected = new Map<number, string>();
        const expectedAt = (step: number): string => expected.get(step) ?? 'never computed';
        const reference = new DeskBench(recipe, host);
        for (const step of [3, 4]) {
          reference.weights(step, right);
          expected.set(step, await reference.done(reference.assign(step)));
        }
        reference.desk.close();
        await reference.desk.idle();

        // One bit of a weight that ranks transform once a step: of the first convolution.
        const wrong = Float32Array.from(right);
        const bits = new Uint32Array(wrong.buffer);
        bits[5] = (bits[5] as number) ^ (1 << 23);
        const one = new DeskBench(recipe, host);
        one.weights(3, wrong);
        if (batchNorm === 'shard') {
          t.not(await one.done(one.assign(3)), expectedAt(3), 'the flipped bit makes no difference');
        } else {
          const first = one.assign(3, false);
          await one.has('sync-part', first);
          one.desk.revoke(first);
        }
        one.desk.forgetWeights();
        const again = one.assign(3);
        // Nothing is computed with weights that nobody trusts, though they are still there.
        await new Promise((resolve) => setTimeout(resolve, 100));
        t.is(one.desk.computing, 0);
        t.false(one.sent.some(({ assignment }) => assignment === again));
        one.weights(3, right);
        t.is(await one.done(again), expectedAt(3));
        one.weights(4, right);
        t.is(await one.done(one.assign(4)), expectedAt(4));
        one.desk.close();
        await one.desk.idle();
      }),
  );

  test.serial(`${batchNorm}: forgotten while ranks are at it, taken back and given again`, (t) =>
    withHost(recipe, 2, async (host) => {
      const right = initialise(host.layout, 1);
      const reference = new DeskBench(recipe, host);
      reference.weights(7, right);
      const expected = await reference.done(reference.assign(7));
      reference.desk.close();
      await reference.desk.idle();
      const wrong = right.map((value) => value * 1.5);
      // Wherever in its work a rank is when it is told.
      for (const pause of [0, 1, 2, 4, 8, 16]) {
        const bench = new DeskBench(recipe, host);
        bench.weights(7, wrong);
        const first = bench.assign(7, batchNorm === 'shard');
        await new Promise((resolve) => setTimeout(resolve, pause));
        bench.desk.revoke(first);
        bench.desk.forgetWeights();
        const second = bench.assign(7);
        bench.weights(7, right);
        t.is(await bench.done(second), expected, `after ${pause} ms`);
        bench.desk.close();
        await bench.desk.idle();
      }
    }),
  );
}

test.serial(
  'a rank has its next shard in hand: taken back before it begins, given again, or lost with it',
  (t) => {
    const recipe = parseRecipe({
      model: 'resnet8',
      dataset: 'synthetic',
      batchSize: 32,
      shardsPerStep: benchShards,
    });
    return withHost(recipe, 1, async (host) => {
      const right = initialise(host.layout, 1);
      const bench = new DeskBench(recipe, host);
      bench.weights(5, right);
      const first = bench.assign(5);
      t.is(bench.desk.computing, 1);
      t.is(bench.desk.queued, benchShards - 1);
      const seen = [bench.progress(first)];
      const looking = setInterval(() => seen.push(bench.progress(first)), 1);
      const expected = await bench.done(first);
      clearInterval(looking);
      t.is(bench.progress(first), null, 'its last word has been sent');
      const told = seen.filter((begun) => begun !== null);
      t.is(told[0], 1, 'a shard counts when its turn has come');
      t.deepEqual(
        told,
        told.toSorted((a, b) => a - b),
      );
      t.true(Math.max(...told) <= benchShards);
      for (const pause of [0, 1, 3, 9, 27]) {
        const other = new DeskBench(recipe, host);
        other.weights(5, right);
        const given = other.assign(5);
        await new Promise((resolve) => setTimeout(resolve, pause));
        other.desk.revoke(given);
        t.is(await other.done(other.assign(5)), expected, `after ${pause} ms`);
        other.desk.close();
        await other.desk.idle();
      }
      for (const how of ['throw', 'exit', 'exit-midway'] as const) {
        const other = new DeskBench(recipe, host);
        other.weights(5, right);
        await host.pool.failNext(0, how);
        t.is(await other.done(other.assign(5)), expected, how);
        other.desk.close();
        await other.desk.idle();
      }
      bench.desk.close();
      await bench.desk.idle();
    });
  },
);
