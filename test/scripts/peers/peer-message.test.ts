import test from 'ava';
import {
  measureRequest,
  parseMeasureRequest,
  parsePeerMessage,
} from '@lockstep/scripts/src/peers/peer-message.ts';

test('a greeting, a measurement and a failure are told apart', (t) => {
  t.deepEqual(parsePeerMessage('{"ready": {"version": "PyTorch 1.13", "detail": "Adam"}}'), {
    kind: 'ready',
    version: 'PyTorch 1.13',
    detail: 'Adam',
    others: [],
  });
  t.like(parsePeerMessage('{"ready": {"version": "", "detail": "", "others": [17, "18", -19]}}'), {
    others: [17],
  });
  t.deepEqual(parsePeerMessage('{"imagesPerSecond": 12.5, "steps": 3, "peakBytes": 4096}'), {
    kind: 'measured',
    imagesPerSecond: 12.5,
    steps: 3,
    peakBytes: 4096,
  });
  t.deepEqual(parsePeerMessage('{"error": "no such kernel"}'), { kind: 'failed', reason: 'no such kernel' });
});

test('a peer that does not know its memory says null or nothing', (t) => {
  for (const line of [
    '{"imagesPerSecond": 1, "steps": 1, "peakBytes": null}',
    '{"imagesPerSecond": 1, "steps": 1}',
  ]) {
    const message = parsePeerMessage(line);
    t.true(message?.kind === 'measured' && message.peakBytes === null, line);
  }
});

test('what a library prints in between is no message', (t) => {
  for (const line of ['', 'Hi, looks like', '{', '[]', 'null', '{"loss": 1}', '{"imagesPerSecond": "1"}']) {
    t.is(parsePeerMessage(line), null, line);
  }
});

test('a rate that is no positive number is no measurement', (t) => {
  for (const rate of ['0', '-1', 'null', '1e999']) {
    t.is(parsePeerMessage(`{"imagesPerSecond": ${rate}, "steps": 1, "peakBytes": 1}`), null, rate);
  }
});

test('a request comes back as its seconds', (t) => {
  t.is(parseMeasureRequest(measureRequest(2.5)), 2.5);
  t.is(parseMeasureRequest('{"measure": 0}'), null);
  t.is(parseMeasureRequest('{"steps": 1}'), null);
});
