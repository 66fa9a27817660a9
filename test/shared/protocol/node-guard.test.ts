import { limitsWith } from '@lockstep/shared/protocol/limits.ts';
import type { NodeMessage } from '@lockstep/shared/protocol/messages.ts';
import {
  judgeNodeMessage,
  judgeNodeTime,
  type NodeGuard,
  noteAsked,
  noteAssigned,
  noteRevoked,
} from '@lockstep/shared/protocol/node-guard.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';
import { type Sent, answer, heartbeat, honest, play, readyGuard, samplesOf, subtrees } from './node-play.ts';
import { smallTerms } from './samples.ts';

test('an honest node is accepted, in whatever order its parts come, and its assignment ends', (t) => {
  assertProperty(
    fc.property(honest, ({ guard, sent }) => {
      const played = play(guard, sent);
      return played.kinds.every((kind) => kind === 'accept') && played.guard.assignments.size === 0;
    }),
    200,
  );
  t.pass();
});

test('nothing is counted twice: any message that comes again is dropped', (t) => {
  assertProperty(
    fc.property(honest, fc.nat(), fc.nat(), ({ guard, sent }, pick, later) => {
      const at = pick % sent.length;
      const again = at + 1 + (later % (sent.length - at));
      const { kinds } = play(guard, sent.toSpliced(again, 0, sent[at] as Sent));
      return kinds.length === again + 1 && kinds[again] === 'drop';
    }),
    300,
  );
  t.pass();
});

test('a message that is missing keeps the assignment open or breaks what follows', (t) => {
  assertProperty(
    fc.property(honest, fc.nat(), ({ guard, sent }, pick) => {
      const played = play(guard, sent.toSpliced(pick % sent.length, 1));
      return played.kinds.at(-1) === 'drop' || played.guard.assignments.size === 1;
    }),
    200,
  );
  t.pass();
});

test('progress is told when it is asked for, only grows, and never past what was given out', (t) => {
  const given = noteAssigned(readyGuard(), { assignment: 1, step: 5, subtrees }, samplesOf);
  const progress = (begun: number, assignment = 1): Sent => ({
    message: { type: 'progress', assignment, begun, seconds: 0.5 },
    payload: 0,
  });
  /** Each after a question of its own. */
  const answers = (guard: NodeGuard, ...sent: Sent[]): string[] => {
    const kinds: string[] = [];
    let now = guard;
    for (const one of sent) {
      const played = play(noteAsked(now, 1), [one]);
      kinds.push(...played.kinds);
      now = played.guard;
    }
    return kinds;
  };
  t.deepEqual(answers(given, progress(0), progress(1), progress(3), progress(3), progress(6)), [
    'accept',
    'accept',
    'accept',
    'accept',
    'accept',
  ]);
  t.deepEqual(answers(given, progress(2), progress(1)), ['accept', 'drop']);
  t.deepEqual(answers(given, progress(7)), ['drop']);
  t.deepEqual(answers(given, progress(1, 2)), ['drop']);
  t.deepEqual(answers(given, { ...progress(1), payload: 8 }), ['drop']);
  t.deepEqual(answers(noteRevoked(given, 1), progress(1)), ['ignore']);
  t.deepEqual(play(given, [progress(1)]).kinds, ['drop'], 'nobody asked');
  const asked = noteAsked(given, 1);
  t.deepEqual(
    play(asked, [progress(1), progress(2)]).kinds,
    ['accept', 'drop'],
    'one answer for one question',
  );
  t.deepEqual(play(noteRevoked(asked, 1), [progress(1)]).kinds, ['ignore'], 'taken back before it answered');
  t.is(noteAsked(given, 9), given, 'of an assignment that is over there is nothing to ask');
});

test('a part of another step, assignment, subtree, size, type or place is dropped', (t) => {
  const part = {
    type: 'gradient-part',
    assignment: 1,
    step: 5,
    subtree: 0,
    from: 100,
    to: 200,
    dtype: 'f32',
  } as const;
  const guard = noteAssigned(readyGuard(), { assignment: 1, step: 5, subtrees }, samplesOf);
  const judge = (change: Partial<NodeMessage<'gradient-part'>>, payload = 400) =>
    judgeNodeMessage(guard, { ...part, ...change }, payload, 1).verdict;
  t.is(judge({}).kind, 'accept');
  t.like(judge({ step: 6 }), { kind: 'drop', code: 'GRADIENT_INVALID' });
  t.like(judge({ assignment: 2 }), { kind: 'drop', code: 'MESSAGE_UNEXPECTED' });
  t.like(judge({ subtree: 2 }), { kind: 'drop', code: 'GRADIENT_INVALID' });
  t.like(judge({ dtype: 'bf16' }, 200), { kind: 'drop', code: 'GRADIENT_INVALID' });
  t.like(judge({}, 396), { kind: 'drop', code: 'GRADIENT_INVALID' });
  t.like(judge({ from: 950, to: 1050 }), { kind: 'drop', code: 'GRADIENT_INVALID' });
  t.like(judge({ from: 200, to: 100 }), { kind: 'drop', code: 'GRADIENT_INVALID' });
  const limited = { ...guard, limits: limitsWith({ partBytes: 396 }) };
  t.like(judgeNodeMessage(limited, part, 400, 1).verdict, { kind: 'drop', code: 'GRADIENT_INVALID' });
  const taken = judgeNodeMessage(guard, part, 400, 1).guard;
  for (const [from, to] of [
    [199, 201],
    [100, 101],
    [99, 101],
    [0, 300],
  ] as const) {
    const { verdict } = judgeNodeMessage(taken, { ...part, from, to }, 4 * (to - from), 1);
    t.is(verdict.kind, 'drop', `${from}..${to}`);
  }
});

test('reports that do not fit the plan are dropped', async (t) => {
  const guard = noteAssigned(
    readyGuard(),
    { assignment: 1, step: 5, subtrees: [{ from: 2, width: 2 }] },
    samplesOf,
  );
  const sent = fc.sample(answer(1, 5, 0, { from: 2, width: 2 }, smallTerms), 1)[0] as Sent[];
  const before = play(guard, sent.slice(0, -1)).guard;
  const done = sent.at(-1)?.message as NodeMessage<'subtree-done'>;
  const judge = (shards: NodeMessage<'subtree-done'>['shards'], payload = 160) =>
    judgeNodeMessage(before, { ...done, shards }, payload, 1).verdict.kind;
  const [first, second] = done.shards as [(typeof done.shards)[0], (typeof done.shards)[0]];
  t.is(judge([first, second]), 'accept');
  t.is(judge([first, second], 168), 'drop');
  t.is(judge([first]), 'drop');
  t.is(judge([second, first]), 'drop');
  t.is(judge([first, { ...second, samples: 4 }]), 'drop');
  t.is(judge([first, { ...second, correct: 6 }]), 'drop');
});

test('revoked work is ignored until it is released, however far it was; nothing comes afterwards', (t) => {
  assertProperty(
    fc.property(honest, fc.nat(), fc.nat(), fc.boolean(), ({ guard, sent }, at, until, fails) => {
      const revokedAt = at % sent.length;
      const end = revokedAt + (until % (sent.length - revokedAt + 1));
      const first = play(guard, sent.slice(0, revokedAt));
      const rest = play(noteRevoked(first.guard, 1), sent.slice(revokedAt, end));
      if (!rest.kinds.every((kind) => kind === 'ignore')) return false;
      const failed: Sent = {
        message: { type: 'failed', assignment: 1, cause: 'other', reason: '' },
        payload: 0,
      };
      const released: Sent = { message: { type: 'released', assignment: 1 }, payload: 0 };
      // A node may have failed before it read the revoke; not after its last subtree was done.
      const last = play(rest.guard, fails && end < sent.length ? [failed, released] : [released]);
      const twice = play(last.guard, [released]);
      return last.kinds.at(-1) === 'accept' && last.guard.assignments.size === 0 && twice.kinds[0] === 'drop';
    }),
    300,
  );
  const guard = noteAssigned(readyGuard(), { assignment: 1, step: 5, subtrees }, samplesOf);
  t.is(judgeNodeMessage(guard, { type: 'released', assignment: 1 }, 0, 1).verdict.kind, 'drop');
  t.is(noteRevoked(guard, 9), guard);
});

test('failing or leaving hands work back', (t) => {
  const guard = noteAssigned(readyGuard(), { assignment: 1, step: 5, subtrees }, samplesOf);
  const failed = judgeNodeMessage(
    guard,
    { type: 'failed', assignment: 1, cause: 'not-finite', reason: 'NaN' },
    0,
    1,
  );
  t.is(failed.verdict.kind, 'accept');
  t.is(failed.guard.assignments.size, 0);
  const left = judgeNodeMessage(guard, { type: 'leaving', reason: 'Ctrl-C' }, 0, 1);
  t.is(left.guard.phase, 'left');
  t.is(left.guard.assignments.size, 0);
  t.is(judgeNodeMessage(left.guard, heartbeat, 0, 1).verdict.kind, 'drop');
  t.is(judgeNodeTime(left.guard, 1e9), null);
});
