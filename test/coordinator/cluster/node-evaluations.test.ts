/** What a node says of a piece is checked; a liar loses its connection, and what it said does not count. */
import { NodeEvaluations } from '@lockstep/coordinator/cluster/node-evaluations.ts';
import type { NodeLink } from '@lockstep/coordinator/cluster/node-link.ts';
import type { WeightsBroadcast } from '@lockstep/coordinator/cluster/weights-broadcast.ts';
import { defaultLimits } from '@lockstep/shared/protocol/limits.ts';
import { openNodeGuard } from '@lockstep/shared/protocol/node-guard.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import test from 'ava';

const dataset = {
  classes: ['a', 'b', 'c'],
  test: { count: 6, labels: Uint8Array.from([0, 1, 2, 0, 1, 2]) },
} as unknown as Dataset;

function setUp() {
  const sent: unknown[] = [];
  const dropped: string[] = [];
  const told: unknown[] = [];
  const link = {
    guard: openNodeGuard(defaultLimits, 0),
    send: ({ type }: { type: string }) => void sent.push(type),
    drop: (code: string, reason: string) => void dropped.push(`${code}: ${reason}`),
  };
  const evaluations = new NodeEvaluations(
    link as unknown as NodeLink,
    { step: 3 } as unknown as WeightsBroadcast,
    dataset,
    () => void sent.push('what it lacks'),
  );
  const give = (assignment: number): void =>
    evaluations.give(
      assignment,
      { kind: 'evaluation', step: 3, side: 1, split: 'test', from: 2, count: 3 },
      {
        onReport: (report) => void told.push(report),
        onFailure: (reason) => void told.push(reason),
      },
    );
  const answer = (assignment: number, lossSum: number, correct: number, predictions: number[]): void =>
    evaluations.take(
      { type: 'evaluation-done', assignment, step: 3, count: 3, lossSum, correct },
      new Uint8Array(Int32Array.from(predictions).buffer),
    );
  return { evaluations, link, sent, dropped, told, give, answer };
}

test('an answer becomes a report of the piece, once', (t) => {
  const { evaluations, link, sent, dropped, told, give, answer } = setUp();
  t.true(evaluations.has(3));
  t.false(evaluations.has(2));
  give(7);
  t.true(link.guard.assignments.has(7));
  answer(7, 0.1, 2, [2, 0, 2]);
  answer(7, 0.1, 2, [2, 0, 2]);
  t.deepEqual(told, [{ kind: 'evaluation', from: 2, lossSum: 0.1, correct: 2, predictions: [2, 0, 2] }]);
  give(8);
  evaluations.takeBack(8, 'late');
  evaluations.takeBack(8, 'late');
  answer(8, 0.1, 2, [2, 0, 2]);
  give(9);
  t.true(evaluations.fail(9, 'broken'));
  t.false(evaluations.fail(9, 'broken'));
  t.deepEqual(told.slice(1), ['broken']);
  const given = ['what it lacks', 'evaluate'];
  t.deepEqual(sent, [...given, ...given, 'revoke', ...given]);
  t.deepEqual(dropped, []);
});

test('a liar is dropped', (t) => {
  const lies: [lossSum: number, correct: number, predictions: number[]][] = [
    [Number.NaN, 2, [2, 0, 2]],
    [1, 3, [2, 0, 2]],
    [1, 2, [2, 0, 3]],
    [1, 1, [-1, 0, 2]],
  ];
  for (const [lossSum, correct, predictions] of lies) {
    const { dropped, told, give, answer } = setUp();
    give(1);
    answer(1, lossSum, correct, predictions);
    t.regex(dropped[0] ?? '', /^MESSAGE_INVALID: an evaluation came back with /);
    t.deepEqual(told, []);
  }
});
