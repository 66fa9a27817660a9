/** Which samples a step consumes: each one once an epoch, whatever the sizes. */
import {
  lastStepOf,
  planStep,
  shardSizes,
  shardStart,
  stepsPerEpoch,
} from '@lockstep/shared/plan/batch-plan.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

/** Any recipe that is allowed: a batch has at least as many samples as shards. */
const plans = fc
  .record({
    seed: fc.nat(1000),
    shardsPerStep: fc.integer({ min: 1, max: 20 }),
    extra: fc.nat(50),
    trainCount: fc.integer({ min: 1, max: 300 }),
    epoch: fc.nat(5),
  })
  .map(({ extra, ...rest }) => ({ ...rest, batchSize: rest.shardsPerStep + extra }));

test('every sample of an epoch belongs to exactly one shard of one step', (t) => {
  assertProperty(
    fc.property(plans, ({ trainCount, epoch, ...recipe }) => {
      const perEpoch = stepsPerEpoch(trainCount, recipe.batchSize);
      const seen = Array.from({ length: trainCount }, () => 0);
      for (let i = 0; i < perEpoch; i++) {
        const plan = planStep(recipe, trainCount, epoch * perEpoch + i);
        if (plan.epoch !== epoch || plan.stepInEpoch !== i || plan.shards.length !== recipe.shardsPerStep) {
          return false;
        }
        const all = plan.shards.flat();
        if (all.length !== plan.samples || plan.samples > recipe.batchSize) return false;
        for (const sample of all) seen[sample] = (seen[sample] ?? Number.NaN) + 1;
      }
      return seen.length === trainCount && seen.every((times) => times === 1);
    }),
    200,
  );
  t.pass();
});

test('shards of a step differ by one sample at most, and every size was foreseen', (t) => {
  assertProperty(
    fc.property(plans, ({ trainCount, ...recipe }) => {
      const known = shardSizes(recipe, trainCount);
      const found = new Set<number>();
      for (let step = 0; step < stepsPerEpoch(trainCount, recipe.batchSize); step++) {
        const sizes = planStep(recipe, trainCount, step).shards.map((shard) => shard.length);
        if (Math.max(...sizes) - Math.min(...sizes) > 1) return false;
        for (const size of sizes) found.add(size);
      }
      found.delete(0);
      const sorted = known.every((size, i) => i === 0 || size < (known[i - 1] as number));
      return sorted && !known.includes(0) && [...found].every((size) => known.includes(size));
    }),
    200,
  );
  t.pass();
});

test('the last batch of an epoch is what is left, in uneven or empty shards', (t) => {
  const recipe = { seed: 1, batchSize: 16, shardsPerStep: 8 };
  t.is(stepsPerEpoch(51, 16), 4);
  const whole = planStep(recipe, 51, 0);
  t.deepEqual(
    whole.shards.map((shard) => shard.length),
    [2, 2, 2, 2, 2, 2, 2, 2],
  );
  t.is(whole.reason, 'a whole batch of 16 in 8 shards');
  const last = planStep(recipe, 51, 3);
  t.is(last.samples, 3);
  t.deepEqual(last.shards.map((shard) => shard.length).toSorted(), [0, 0, 0, 0, 0, 1, 1, 1]);
  t.is(last.reason, 'the last 3 samples of the epoch in 8 shards');
  t.deepEqual(shardSizes(recipe, 51), [2, 1]);
  t.deepEqual(shardSizes({ seed: 1, batchSize: 100, shardsPerStep: 8 }, 51), [7, 6]);
});

test('shards lie one behind the other', (t) => {
  for (const [samples, shards] of [
    [128, 8],
    [10, 3],
    [2, 7],
  ] as const) {
    t.is(shardStart(samples, shards, 0), 0);
    t.is(shardStart(samples, shards, shards), samples);
  }
  t.deepEqual(
    [0, 1, 2, 3].map((shard) => shardStart(10, 3, shard)),
    [0, 3, 6, 10],
  );
});

test('a plan is a function of its arguments: epochs and seeds differ, the cut does not touch the order', (t) => {
  const recipe = { seed: 1, batchSize: 32, shardsPerStep: 4 };
  t.deepEqual(planStep(recipe, 100, 5), planStep(recipe, 100, 5));
  const order = (seed: number, step: number, shardsPerStep = 4) =>
    planStep({ seed, batchSize: 32, shardsPerStep }, 100, step).shards.flat();
  t.notDeepEqual(order(1, 0), order(1, 4));
  t.notDeepEqual(order(1, 0), order(2, 0));
  t.deepEqual(order(1, 0, 4), order(1, 0, 7));
});

test('a run ends after its steps, or after its epochs', (t) => {
  t.is(lastStepOf({ steps: 17, epochs: 3, batchSize: 10 }, 101), 17);
  t.is(lastStepOf({ steps: null, epochs: 3, batchSize: 10 }, 101), 33);
});
