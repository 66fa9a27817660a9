/** What becomes of a shard that could not be computed: no single member ends a run that others can go on with. */
import { decideFailure, type Failure, type FailureCause } from '@lockstep/coordinator/cluster/failure.ts';
import { attemptLimit } from '@lockstep/coordinator/plan/assignment.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const causes: readonly FailureCause[] = ['not-finite', 'rank-lost', 'other'];
const by = (cause: FailureCause, ...members: number[]): Failure[] =>
  members.map((member) => ({ member, cause }));

test('a shard is not finite when two members say so, or the only one says it twice', (t) => {
  const first = decideFailure({ shard: 3, failures: by('not-finite', 1), present: [0, 1, 2] });
  t.is(first.kind, 'go on');
  t.deepEqual(first.exclude, [1]);
  t.is(first.reason, 'shard 3 goes to one of 2 members that have not failed with it');
  const same = decideFailure({ shard: 3, failures: by('not-finite', 1, 1), present: [0, 1] });
  t.is(same.kind, 'go on');
  t.deepEqual(same.exclude, [1]);
  const agreed = decideFailure({ shard: 3, failures: by('not-finite', 1, 2), present: [0, 1, 2] });
  t.is(agreed.kind, 'not-finite');
  t.is(agreed.reason, '2 members agree that shard 3 is not finite');
  t.is(decideFailure({ shard: 3, failures: by('not-finite', 1), present: [1] }).kind, 'go on');
  t.is(decideFailure({ shard: 3, failures: by('not-finite', 1, 1), present: [1] }).kind, 'not-finite');
});

test('a shard is lost for good when everybody who is there has failed with it, often enough', (t) => {
  t.is(decideFailure({ shard: 0, failures: by('rank-lost', 1, 1, 1), present: [1] }).kind, 'go on');
  t.is(decideFailure({ shard: 0, failures: by('rank-lost', 1, 1, 1, 1), present: [1] }).kind, 'lost');
  const many = decideFailure({ shard: 0, failures: by('rank-lost', 1, 1, 1, 1, 1), present: [0, 1] });
  t.is(many.kind, 'go on');
  t.deepEqual(many.exclude, [1]);
  t.is(decideFailure({ shard: 0, failures: by('rank-lost', 1, 0, 1, 0), present: [0, 1] }).kind, 'lost');
});

test('a member that comes back under another id does not count twice', (t) => {
  const decision = decideFailure({ shard: 0, failures: by('not-finite', 1, 2), present: [0, 2] });
  t.is(decision.kind, 'go on');
  t.deepEqual(decision.exclude, [2]);
  t.is(decideFailure({ shard: 0, failures: by('rank-lost', 1, 2, 3, 4), present: [0] }).kind, 'go on');
});

const situations = fc.record({
  present: fc.uniqueArray(fc.nat(6), { maxLength: 5 }),
  failures: fc.array(fc.record({ member: fc.nat(6), cause: fc.constantFrom(...causes) }), { maxLength: 12 }),
});

test('whatever has failed, somebody may have the shard, untried members come first, and one alone ends nothing', (t) => {
  assertProperty(
    fc.property(situations, ({ present, failures }) => {
      const { kind, exclude, reason } = decideFailure({ shard: 5, failures, present });
      const failed = new Set(failures.map(({ member }) => member));
      const tried = present.filter((id) => failed.has(id));
      if (reason === '' || exclude.some((id) => !tried.includes(id))) return false;
      if (kind !== 'go on') return tried.length > 1 || present.length === 1;
      if (present.length > 0 && exclude.length === present.length) return false;
      return tried.length === present.length || tried.every((id) => exclude.includes(id));
    }),
    500,
  );
  t.pass();
});

test('while others are honest one hostile member ends nothing; with nobody honest it ends soon', (t) => {
  const play = fc.record({
    members: fc.integer({ min: 1, max: 6 }),
    honest: fc.boolean(),
    picks: fc.array(fc.tuple(fc.nat(), fc.constantFrom(...causes)), { minLength: 30, maxLength: 30 }),
  });
  assertProperty(
    fc.property(play, ({ members, honest, picks }) => {
      const present = Array.from({ length: members }, (_, id) => id);
      const failures: Failure[] = [];
      for (const [pick, cause] of picks) {
        const { kind, exclude } = decideFailure({ shard: 0, failures, present });
        if (kind !== 'go on') return !honest || members === 1;
        const takers = present.filter((id) => !exclude.includes(id));
        const member = takers[pick % takers.length] as number;
        // Member 0 is the hostile one when the rest are honest.
        if (honest && member !== 0) return true;
        failures.push({ member, cause });
        if (failures.length > Math.max(attemptLimit, members)) return false;
      }
      return false;
    }),
    500,
  );
  t.pass();
});
