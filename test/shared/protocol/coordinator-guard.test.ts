import {
  type CoordinatorGuard,
  judgeCoordinatorMessage,
  judgeCoordinatorTime,
  noteFinished,
  noteJoined,
  noteReady,
  noteRequested,
  openCoordinatorGuard,
} from '@lockstep/shared/protocol/coordinator-guard.ts';
import { receiveFromCoordinator } from '@lockstep/shared/protocol/door.ts';
import { encodeFrame, type Header } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits, limitsWith } from '@lockstep/shared/protocol/limits.ts';
import {
  type CoordinatorMessage,
  type CoordinatorToNode,
  protocolVersion,
} from '@lockstep/shared/protocol/messages.ts';
import { addRun, cutParts, isWhole, noRuns, type Runs } from '@lockstep/shared/protocol/ranges.ts';
import type { Terms } from '@lockstep/shared/protocol/terms.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';
import { coordinatorMessages, smallTerms } from './samples.ts';

const welcome: CoordinatorToNode = {
  type: 'welcome',
  protocolVersion,
  nodeId: 3,
  recipe: { model: 'resnet20', steps: null, nesterov: false, lr: 0.1 },
  recipeSha256: '0'.repeat(64),
  dataset: {
    name: 'tiny',
    title: 'Tiny',
    classes: ['a', 'b'],
    height: 10,
    width: 10,
    channels: 1,
    mean: [0],
    deviation: [1],
    train: { count: 100, sha256: 'a'.repeat(64) },
    test: { count: 10, sha256: 'b'.repeat(64) },
  },
  chunkBytes: 4096,
  wireDtype: 'f32',
  layout: { parameterCount: 1000, totalCount: 1020, batchNormChannels: 10 },
  heartbeatMilliseconds: 500,
  silenceMilliseconds: 2000,
};

function readyGuard(terms: Terms = smallTerms): CoordinatorGuard {
  const opened = openCoordinatorGuard(defaultLimits, 0);
  return noteReady(noteJoined(judgeCoordinatorMessage(opened, welcome, 0, 0).guard, terms));
}

function judge(guard: CoordinatorGuard, message: CoordinatorToNode, payload = 0) {
  return judgeCoordinatorMessage(guard, message, payload, 1);
}

function weights(step: number, from: number, to: number): CoordinatorMessage<'weights'> {
  return { type: 'weights', step, from, to, dtype: 'f32', hash: false };
}

test('the welcome comes first, once; a refusal or a goodbye ends everything', (t) => {
  const opened = openCoordinatorGuard(defaultLimits, 0);
  assertProperty(
    fc.property(coordinatorMessages, (message) => {
      const kind = judge(opened, message).verdict.kind;
      return (kind === 'accept') === ['welcome', 'refused', 'goodbye'].includes(message.type);
    }),
    300,
  );
  t.is(judge(readyGuard(), welcome).verdict.kind, 'drop');
  const ended = judge(readyGuard(), { type: 'goodbye', reason: 'the run is over', again: false }).guard;
  t.is(ended.phase, 'ended');
  t.is(judge(ended, { type: 'heartbeat', echo: null }).verdict.kind, 'drop');
  const { received } = receiveFromCoordinator(opened, encodeFrame(welcome as Header), 0);
  t.like(received, { kind: 'accept', message: welcome });
  t.like(receiveFromCoordinator(opened, new Uint8Array(8), 0).received, { kind: 'drop' });
});

test('weights come in parts of any order, are whole once, and a newer step ends an older one', (t) => {
  const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 1019 }), { maxLength: 8 });
  const parts = cuts.chain((list) => {
    const ends = [...list.toSorted((a, b) => a - b), 1020];
    const all = ends.map((to, i) => ({ from: ends[i - 1] ?? 0, to }));
    return fc.shuffledSubarray(all, { minLength: all.length });
  });
  assertProperty(
    fc.property(parts, fc.nat(), (list, pick) => {
      let guard = readyGuard();
      for (const [i, { from, to }] of list.entries()) {
        const judged = judge(guard, weights(5, from, to), 4 * (to - from));
        guard = judged.guard;
        const again = list[pick % (i + 1)] as { from: number; to: number };
        const repeated = judge(guard, weights(5, again.from, again.to), 4 * (again.to - again.from));
        if (judged.verdict.kind !== 'accept' || repeated.verdict.kind !== 'drop') return false;
        if (guard.weights?.whole !== (i === list.length - 1)) return false;
      }
      const { from, to } = list[0] as { from: number; to: number };
      const size = 4 * (to - from);
      const resynchronised = judge(guard, { type: 'resynchronise', step: 5, reason: 'hash' }).guard;
      return (
        judge(guard, weights(4, from, to), size).verdict.kind === 'drop' &&
        judge(guard, weights(6, from, to), size).verdict.kind === 'accept' &&
        judge(resynchronised, weights(5, from, to), size).verdict.kind === 'accept'
      );
    }),
    200,
  );
  t.pass();
});

test('weights of a wrong size, type or place are dropped', (t) => {
  const guard = readyGuard();
  t.is(judge(guard, weights(5, 0, 100), 396).verdict.kind, 'drop');
  t.is(judge(guard, weights(5, 1000, 1021), 84).verdict.kind, 'drop');
  t.is(judge(guard, weights(5, 10, 10), 0).verdict.kind, 'drop');
  t.is(judge(guard, { ...weights(5, 0, 100), dtype: 'bf16' }, 200).verdict.kind, 'drop');
  const limited = { ...guard, limits: limitsWith({ partBytes: 399 }) };
  t.is(judge(limited, weights(5, 0, 100), 400).verdict.kind, 'drop');
});

test('assignments have rising numbers, real subtrees, no overlap, and a step that is not over', (t) => {
  const assign = (assignment: number, step: number, subtrees: CoordinatorMessage<'assign'>['subtrees']) =>
    ({ type: 'assign', assignment, step, subtrees }) as const;
  const guard = judge(readyGuard(), weights(5, 0, 1020), 4080).guard;
  const sound = [
    { from: 4, width: 2 },
    { from: 0, width: 4 },
  ];
  const taken = judge(guard, assign(7, 5, sound));
  t.is(taken.verdict.kind, 'accept');
  t.true(taken.guard.open.has(7));
  t.is(judge(taken.guard, assign(7, 5, sound)).verdict.kind, 'drop');
  t.is(judge(guard, assign(8, 4, sound)).verdict.kind, 'drop');
  t.is(judge(guard, assign(8, 6, sound)).verdict.kind, 'accept');
  // Parts of the next step's weights come early; this one goes on until they are whole.
  const early = judge(guard, weights(6, 500, 1020), 2080).guard;
  t.is(judge(early, assign(8, 5, sound)).verdict.kind, 'accept');
  t.is(judge(early, assign(8, 4, sound)).verdict.kind, 'drop');
  const next = judge(early, weights(6, 0, 500), 2000).guard;
  t.is(judge(next, assign(8, 5, sound)).verdict.kind, 'drop');
  t.is(judge(early, { type: 'resynchronise', step: 5, reason: '' }).verdict.kind, 'accept');
  t.is(judge(guard, assign(8, 5, [{ from: 1, width: 2 }])).verdict.kind, 'drop');
  t.is(
    judge(
      guard,
      assign(8, 5, [
        { from: 0, width: 4 },
        { from: 2, width: 2 },
      ]),
    ).verdict.kind,
    'drop',
  );
  t.is(judge(guard, assign(8, 5, [{ from: 0, width: 16 }])).verdict.kind, 'drop');
  const full = { ...taken.guard, limits: limitsWith({ openAssignments: 1 }) };
  t.is(judge(full, assign(8, 5, sound)).verdict.kind, 'drop');
  t.is(judge(noteFinished(full, 7), assign(8, 5, sound)).verdict.kind, 'accept');
  t.is(
    judge(taken.guard, { type: 'revoke', assignment: 7, reason: 'done elsewhere' }).verdict.kind,
    'accept',
  );
  t.is(judge(taken.guard, { type: 'revoke', assignment: 8, reason: '' }).verdict.kind, 'drop');
  const asked = (assignment: number): string =>
    judge(noteFinished(taken.guard, 7), { type: 'progress-request', assignment }).verdict.kind;
  t.is(asked(7), 'accept', 'its last word may be on its way');
  t.is(asked(8), 'drop');
  const evaluate = { type: 'evaluate', assignment: 9, step: 5, split: 'test', from: 5, count: 5 } as const;
  t.is(judge(taken.guard, evaluate).verdict.kind, 'accept');
  t.is(judge(taken.guard, { ...evaluate, count: 6 }).verdict.kind, 'drop');
});

test('data comes only when it was asked for, once', (t) => {
  const wanted = { hash: 'a'.repeat(64), offset: 4096, length: 4096 };
  const chunk = { type: 'data-chunk', ...wanted } as const;
  const guard = noteRequested(readyGuard(), wanted);
  const judged = judge(guard, chunk, 4096);
  t.is(judged.verdict.kind, 'accept');
  t.is(judge(judged.guard, chunk, 4096).verdict.kind, 'drop');
  t.is(judge(guard, chunk, 4088).verdict.kind, 'drop');
  t.is(judge(guard, { ...chunk, offset: 0 }, 4096).verdict.kind, 'drop');
});

test('batch-norm points have the size of their layer, forward and back', (t) => {
  const guard = readyGuard({ ...smallTerms, syncChannels: [4, 6] });
  const sizes = [4, 6, 6, 4];
  for (const [point, channels] of sizes.entries()) {
    t.is(judge(guard, { type: 'sync-total', step: 1, point }, 16 * channels).verdict.kind, 'accept');
    t.is(judge(guard, { type: 'sync-total', step: 1, point }, 16).verdict.kind, 'drop');
  }
  t.is(judge(guard, { type: 'sync-total', step: 1, point: 4 }, 64).verdict.kind, 'drop');
  t.is(judge(readyGuard(), { type: 'sync-total', step: 1, point: 0 }, 0).verdict.kind, 'drop');
});

test('a coordinator that says nothing is noticed', (t) => {
  t.like(judgeCoordinatorTime(openCoordinatorGuard(defaultLimits, 0), 5001), { code: 'HANDSHAKE_TIMEOUT' });
  const guard = judgeCoordinatorMessage(readyGuard(), { type: 'heartbeat', echo: 1 }, 0, 3000).guard;
  t.is(judgeCoordinatorTime(guard, 5000), null);
  t.like(judgeCoordinatorTime(guard, 5001), { code: 'HEARTBEAT_LOST' });
});

test('any sequence of messages with any payload gives a verdict, and a dropped one changes nothing', (t) => {
  assertProperty(
    fc.property(fc.array(fc.tuple(coordinatorMessages, fc.nat(5000)), { maxLength: 15 }), (list) => {
      let guard = readyGuard();
      return list.every(([message, payload]) => {
        const judged = judge(guard, message, payload);
        const unchanged = judged.guard === guard;
        guard = judged.guard;
        return judged.verdict.kind !== 'drop' || (unchanged && judged.verdict.reason.length > 10);
      });
    }),
    200,
  );
  t.pass();
});

test('runs hold exactly the floats that came', (t) => {
  const range = fc
    .tuple(fc.nat(30), fc.nat(30))
    .map(([a, b]) => [Math.min(a, b), Math.max(a, b) + 1] as const);
  assertProperty(
    fc.property(fc.array(range, { maxLength: 20 }), (list) => {
      let runs: Runs = noRuns;
      const came = new Set<number>();
      for (const [from, to] of list) {
        const floats = Array.from({ length: to - from }, (_, i) => from + i);
        const next = addRun(runs, from, to);
        if ((next === null) !== floats.some((i) => came.has(i))) return false;
        if (next === null) continue;
        runs = next;
        for (const i of floats) came.add(i);
        const ends = Array.from({ length: 33 }, (_, i) => i).filter((i) => came.has(i) !== came.has(i - 1));
        if (ends.join() !== runs.join()) return false;
      }
      return isWhole(runs, 31) === (came.size === 31 && !came.has(31));
    }),
    500,
  );
  t.pass();
});

test('a vector is cut into parts that fit, without gaps', (t) => {
  for (const dtype of ['f32', 'bf16'] as const) {
    const parts = cutParts(0, 1_000_001, dtype, defaultLimits);
    const runs = parts.reduce<Runs>((all, { from, to }) => addRun(all, from, to) ?? [], noRuns);
    t.true(isWhole(runs, 1_000_001));
    t.true(parts.every(({ from, to }) => (to - from) * (dtype === 'f32' ? 4 : 2) <= defaultLimits.partBytes));
  }
  t.deepEqual(cutParts(5, 5, 'f32', defaultLimits), []);
});
