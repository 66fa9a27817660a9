import { encodeFrame, type Header } from '@lockstep/shared/protocol/frame.ts';
import { receiveFromNode } from '@lockstep/shared/protocol/door.ts';
import { defaultLimits } from '@lockstep/shared/protocol/limits.ts';
import type { NodeToCoordinator } from '@lockstep/shared/protocol/messages.ts';
import {
  judgeNodeMessage,
  judgeNodeTime,
  type NodeGuard,
  noteChunkSent,
  noteEvaluating,
  noteHashAsked,
  noteNodeAlive,
  noteWelcomed,
  openNodeGuard,
} from '@lockstep/shared/protocol/node-guard.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';
import { dataset, heartbeat, readyGuard, readyMessage } from './node-play.ts';
import { helloMessage, nodeMessages, smallTerms } from './samples.ts';

test('an evaluation comes back once, whole', (t) => {
  const guard = noteEvaluating(readyGuard(), { assignment: 3, step: 7, count: 10 });
  const done = {
    type: 'evaluation-done',
    assignment: 3,
    step: 7,
    count: 10,
    lossSum: 1,
    correct: 5,
  } as const;
  const judged = judgeNodeMessage(guard, done, 40, 1);
  t.is(judged.verdict.kind, 'accept');
  t.is(judgeNodeMessage(judged.guard, done, 40, 1).verdict.kind, 'drop');
  t.is(judgeNodeMessage(guard, { ...done, count: 9 }, 36, 1).verdict.kind, 'drop');
  t.is(judgeNodeMessage(guard, { ...done, correct: 11 }, 40, 1).verdict.kind, 'drop');
  t.is(judgeNodeMessage(guard, done, 36, 1).verdict.kind, 'drop');
  t.is(judgeNodeMessage(guard, { ...done, step: 8 }, 40, 1).verdict.kind, 'drop');
});

test('before the hello only a hello counts, and only a tiny frame', (t) => {
  const opened = openNodeGuard(defaultLimits, 0);
  assertProperty(
    fc.property(nodeMessages, fc.nat(100), (message, payload) => {
      const { verdict } = judgeNodeMessage(opened, message, payload, 0);
      return (verdict.kind === 'accept') === (message.type === 'hello' && payload === 0);
    }),
    300,
  );
  const big = encodeFrame(helloMessage as Header, new Uint8Array(5000));
  t.like(receiveFromNode(opened, big, 0).received, { kind: 'drop', code: 'FRAME_TOO_LARGE' });
  const { guard, received } = receiveFromNode(opened, encodeFrame(helloMessage as Header), 0);
  t.like(received, { kind: 'accept', message: helloMessage });
  t.is(guard.phase, 'deciding');
  t.is(judgeNodeMessage(guard, heartbeat, 0, 0).verdict.kind, 'drop');
  t.like(receiveFromNode(guard, big, 0).received, { kind: 'drop', code: 'FRAME_TOO_LARGE' });
  const joined = noteWelcomed(guard, smallTerms);
  t.is(judgeNodeMessage(joined, helloMessage, 0, 0).verdict.kind, 'drop');
});

test('a stranger in mid-run changes nothing: random messages without work are dropped or harmless', (t) => {
  assertProperty(
    fc.property(fc.array(nodeMessages, { maxLength: 20 }), (messages) => {
      let guard = readyGuard();
      for (const message of messages) {
        const judged = judgeNodeMessage(guard, message, 0, 1);
        if (judged.verdict.kind !== 'drop' && message.type !== 'heartbeat' && message.type !== 'leaving')
          return false;
        guard = judged.guard;
      }
      return true;
    }),
    300,
  );
  t.pass();
});

test('data is given in whole chunks of the run, a few at a time, a few times over', (t) => {
  const ask = (guard: NodeGuard, offset: number, length: number, hash = dataset.train) =>
    judgeNodeMessage(guard, { type: 'data-request', hash, offset, length }, 0, 1);
  const guard = readyGuard();
  t.is(ask(guard, 0, 4096).verdict.kind, 'accept');
  t.is(ask(guard, 8192, 2048).verdict.kind, 'accept');
  t.is(ask(guard, 0, 1000, dataset.test).verdict.kind, 'accept');
  t.is(ask(guard, 0, 1000).verdict.kind, 'drop');
  t.is(ask(guard, 8192, 4096).verdict.kind, 'drop');
  t.is(ask(guard, 100, 4096).verdict.kind, 'drop');
  t.is(ask(guard, 12_288, 1).verdict.kind, 'drop');
  t.is(ask(guard, 0, 4096, 'e'.repeat(64)).verdict.kind, 'drop');
  let busy = guard;
  for (let i = 0; i < 4; i++) busy = ask(busy, 0, 4096).guard;
  t.like(ask(busy, 0, 4096).verdict, { kind: 'drop', code: 'FLOOD' });
  t.is(ask(noteChunkSent(busy), 0, 4096).verdict.kind, 'accept');
  let greedy = guard;
  let times = 0;
  for (;;) {
    const judged = ask(greedy, 0, 4096);
    if (judged.verdict.kind === 'drop') {
      t.like(judged.verdict, { code: 'DATA_BUDGET' });
      break;
    }
    greedy = noteChunkSent(judged.guard);
    times++;
  }
  t.is(times, Math.floor((3 * 11_240) / 4096));
});

test('heartbeats at their pace never flood; many at once do', (t) => {
  let guard = readyGuard();
  for (let now = 0; now < 100_000; now += 100) {
    const judged = judgeNodeMessage(guard, heartbeat, 0, now);
    if (judged.verdict.kind !== 'accept') return t.fail(judged.verdict.reason);
    guard = judged.guard;
  }
  let count = 0;
  for (;;) {
    const judged = judgeNodeMessage(guard, heartbeat, 0, 100_000);
    guard = judged.guard;
    if (judged.verdict.kind !== 'accept') {
      t.like(judged.verdict, { kind: 'drop', code: 'FLOOD' });
      break;
    }
    count++;
  }
  t.true(count <= defaultLimits.unaskedBurst);
});

test('silence and a handshake that never finishes are noticed; bytes are a sign of life', (t) => {
  const opened = openNodeGuard(defaultLimits, 1000);
  t.is(judgeNodeTime(opened, 6000), null);
  t.like(judgeNodeTime(opened, 6001), { code: 'HANDSHAKE_TIMEOUT' });
  const guard = judgeNodeMessage(readyGuard(), heartbeat, 0, 5000).guard;
  t.is(judgeNodeTime(guard, 7000), null);
  t.like(judgeNodeTime(guard, 7001), { code: 'HEARTBEAT_LOST' });
  t.is(judgeNodeTime(noteNodeAlive(guard, 6000), 7500), null);
});

test('a weights-hash is taken once for each step asked, a data set only if it is the run’s', (t) => {
  const hash: NodeToCoordinator = { type: 'weights-hash', step: 4, sha256: 'f'.repeat(64) };
  const guard = noteHashAsked(readyGuard(), 4);
  const judged = judgeNodeMessage(guard, hash, 0, 1);
  t.is(judged.verdict.kind, 'accept');
  t.is(judgeNodeMessage(judged.guard, hash, 0, 1).verdict.kind, 'drop');
  const joined = noteWelcomed(
    judgeNodeMessage(openNodeGuard(defaultLimits, 0), helloMessage, 0, 0).guard,
    smallTerms,
  );
  const wrong: NodeToCoordinator = { ...readyMessage, dataset: { ...dataset, test: 'e'.repeat(64) } };
  t.is(judgeNodeMessage(joined, wrong, 0, 0).verdict.kind, 'drop');
});
