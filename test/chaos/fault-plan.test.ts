/** The plan of a chaos run: pure, complete, in order; and the audit of commits finds what it is for. */
import test from 'ava';
import type { JsonLine } from '../helpers/lockstep-process.ts';
import { auditCommits, livesOf } from './commit-ledger.ts';
import { faultKinds, planFaults } from './fault-plan.ts';

const shape = { nodes: 3, guests: 2, firstStep: 6 };

test('a seed always gives the same faults, a longer plan begins with the shorter one', (t) => {
  const plan = planFaults(5, 40, shape);
  t.deepEqual(planFaults(5, 40, shape), plan);
  t.deepEqual(planFaults(5, 17, shape), plan.slice(0, 17));
  t.notDeepEqual(planFaults(6, 40, shape), plan);
});

test('each kind comes once before any comes twice; guests come to their own places', (t) => {
  const faults = planFaults(9, faultKinds.length * 3, shape);
  for (let round = 0; round < 3; round++) {
    const kinds = faults.slice(round * faultKinds.length, (round + 1) * faultKinds.length);
    t.deepEqual(kinds.map(({ kind }) => kind).toSorted(), [...faultKinds].toSorted());
  }
  t.is(faults[0]?.gap, shape.firstStep);
  t.true(faults.every(({ gap }) => gap > 0));
  t.true(faults.every(({ kind, slot }) => (kind === 'join' ? slot >= 3 && slot < 5 : slot < 3)));
});

const step = (number: number, loss = 1 / number): JsonLine => ({
  type: 'step',
  step: number,
  samples: 10,
  loss,
  accuracy: 0.5,
});
const start = (fromStep: number): JsonLine => ({ type: 'start', fromStep });
const reference = {
  weightsSha256: '',
  samples: 40,
  seconds: 1,
  steps: [1, 2, 3, 4].map((n) => ({ step: n, samples: 10, loss: 1 / n, accuracy: 0.5 })),
};

test('commits that a kill took back count once', (t) => {
  const lives = [
    [start(0), step(1), step(2), step(3)],
    [start(2), step(3), step(4)],
  ];
  t.deepEqual(auditCommits(lives, reference), { complaints: [], commits: 5, repeated: 1, samples: 40 });
  t.deepEqual(livesOf(lives.flat()), lives);
  // A life that was killed before it began.
  t.deepEqual(auditCommits([lives[0] ?? [], [], lives[1] ?? []], reference).complaints, []);
});

test('a step applied twice, left out, invented or changed is found', (t) => {
  const complaints = (...lives: JsonLine[][]) => auditCommits(lives, reference).complaints.join('; ');
  t.regex(
    complaints([start(0), step(1), step(2), step(2), step(3), step(4)]),
    /committed step 2 after step 2/,
  );
  t.regex(complaints([start(0), step(1), step(3), step(4)]), /step 3 after step 1/);
  t.regex(complaints([start(0), step(1)], [start(3), step(4)]), /only 1 were committed/);
  t.regex(
    complaints([start(0), step(1), step(2, 0.50001), step(3), step(4)]),
    /step 2 is the first that differs/,
  );
  t.regex(complaints([start(0), step(1), step(2), step(3)]), /3 steps are left instead of 4/);
});
