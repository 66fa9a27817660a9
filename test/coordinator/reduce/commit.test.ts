/** What may become part of the run, and the reason when it may not. */
import type { StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { decideCommit } from '@lockstep/coordinator/reduce/commit.ts';
import type { ShardReport, SliceReport } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

// The last step of an epoch: three samples in five shards, two of which are empty.
const plan: StepPlan = planStep({ seed: 1, batchSize: 10, shardsPerStep: 5 }, 13, 1);

const report = (shard: number, changed: Partial<ShardReport> = {}): ShardReport => ({
  kind: 'shard',
  shard,
  samples: plan.shards[shard]?.length ?? 0,
  lossSum: 2.3,
  correct: 0,
  loadSeconds: 0,
  computeSeconds: 0,
  ...changed,
});
const slice = (notFinite: number): SliceReport => ({ kind: 'slice', notFinite });
const all = plan.shards.map((_, shard) => report(shard));
const finite = [slice(0), slice(0)];

/** The reports with one replaced. */
const but = (shard: number, changed: Partial<ShardReport>): ShardReport[] =>
  all.map((r) => (r.shard === shard ? report(shard, changed) : r));

test('all shards in, every sample counted, all finite: committed', (t) => {
  const expected = { commit: true, reason: 'all 5 shards in, 3 samples, all finite' };
  t.deepEqual(decideCommit(plan, all, finite), expected);
  t.deepEqual(decideCommit(plan, all.toReversed(), finite), expected);
});

const refusals: readonly (readonly [
  what: string,
  shards: readonly ShardReport[],
  slices: readonly SliceReport[],
  reason: string,
])[] = [
  ['no shards', [], finite, 'shard 0 did not come in exactly once'],
  ['a missing shard', all.filter((r) => r.shard !== 3), finite, 'shard 3 did not come in exactly once'],
  ['a shard twice', [...all, report(2)], finite, 'shard 2 did not come in exactly once'],
  [
    'one twice in place of another',
    all.map((r) => (r.shard === 4 ? report(0) : r)),
    finite,
    'shard 0 did not come in exactly once',
  ],
  ['a shard that was not planned', [...all, report(9)], finite, 'shard 9 was not planned'],
  ['a shard with too few samples', but(1, { samples: 0 }), finite, 'shard 1 counted 0 samples'],
  ['an empty shard with a sample', but(0, { samples: 1 }), finite, 'shard 0 counted 1 samples'],
  ['a loss that is NaN', but(4, { lossSum: Number.NaN }), finite, 'the loss of shard 4 is NaN'],
  [
    'an infinite loss',
    but(4, { lossSum: Number.POSITIVE_INFINITY }),
    finite,
    'the loss of shard 4 is Infinity',
  ],
  ['gradients that are not finite', all, [slice(2), slice(5)], '7 gradients are NaN or infinite'],
];

for (const [what, shards, slices, reason] of refusals) {
  test(`refused: ${what}`, (t) => {
    t.deepEqual(decideCommit(plan, shards, slices), { commit: false, reason });
  });
}

test('any reports: a commit needs each shard exactly once', (t) => {
  const shard = fc.integer({ min: 0, max: 5 });
  assertProperty(
    fc.property(fc.array(shard, { maxLength: 8 }), (shards) => {
      const { commit } = decideCommit(
        plan,
        shards.map((k) => report(k)),
        finite,
      );
      return commit === (shards.toSorted().join() === '0,1,2,3,4');
    }),
    1000,
  );
  t.pass();
});
