/** What a node is sent of the weights: each piece once, running statistics when somebody needs them. */
import { NodeWeights } from '@lockstep/coordinator/cluster/node-weights.ts';
import type { NodeLink } from '@lockstep/coordinator/cluster/node-link.ts';
import type { WeightsBroadcast, WeightsFrame } from '@lockstep/coordinator/cluster/weights-broadcast.ts';
import { defaultLimits } from '@lockstep/shared/protocol/limits.ts';
import { openNodeGuard } from '@lockstep/shared/protocol/node-guard.ts';
import test from 'ava';

/** First floats of the pieces; the last one is running statistics. */
const pieces = [0, 100, 200];

function setUp() {
  const sent: string[] = [];
  const taken: string[] = [];
  const state = { step: 3, hashed: false };
  const link = {
    guard: openNodeGuard(defaultLimits, 0),
    outbox: { takeBack: (key: string) => void taken.push(key) },
    push: (key: string, bytes: Uint8Array) => {
      sent.push(key === 'message' ? 'resynchronise' : new TextDecoder().decode(bytes));
    },
  };
  const frame = (step: number, from: number): WeightsFrame => ({
    step,
    from,
    isStatistics: from === 200,
    shared: {
      bytes: new TextEncoder().encode(`${step}:${from}`),
      use: () => {},
      done: () => {},
    } as unknown as WeightsFrame['shared'],
  });
  const broadcast = {
    get step() {
      return state.step;
    },
    get hashed() {
      return state.hashed;
    },
    sha256: 'right',
    frames: () => pieces.map((from) => frame(state.step, from)),
    framesToProve: () => pieces.map((from) => frame(state.step, from)),
  };
  const weights = new NodeWeights(link as unknown as NodeLink, broadcast as unknown as WeightsBroadcast);
  const take = (): string[] => sent.splice(0);
  return { weights, link, state, frame, take, taken };
}

test('whoever has all parameters ahead is sent the rest when it is to evaluate, once', (t) => {
  const { weights, state, frame, take } = setUp();
  weights.send();
  t.deepEqual(take(), ['3:0', '3:100', '3:200'], 'a node that has just come');
  weights.sendAhead(frame(4, 0));
  weights.sendAhead(frame(4, 100));
  t.deepEqual(take(), ['4:0', '4:100']);
  state.step = 4;
  weights.send();
  t.deepEqual(take(), []);
  weights.sendStatistics();
  weights.sendStatistics();
  t.deepEqual(take(), ['4:200']);
  // Of a step that is over nobody needs them any more.
  for (const from of [0, 100]) weights.sendAhead(frame(5, from));
  state.step = 5;
  weights.send();
  weights.sendAhead(frame(6, 0));
  weights.sendStatistics();
  t.deepEqual(take(), ['5:0', '5:100', '6:0']);
  // A parameter is missing: everything that is, at once.
  state.step = 6;
  weights.send();
  t.deepEqual(take(), ['6:100', '6:200']);
});

test('a step whose hash is asked for is sent whole, and only that hash is judged, once', (t) => {
  const { weights, link, state, frame, take, taken } = setUp();
  for (const from of [0, 100]) weights.sendAhead(frame(4, from));
  Object.assign(state, { step: 4, hashed: true });
  weights.send();
  t.deepEqual(take(), ['4:0', '4:100', '4:200']);
  t.deepEqual(link.guard.hashSteps, [4]);
  t.is(weights.judge(3, 'right'), null);
  t.is(weights.judge(4, 'wrong'), false);
  t.is(weights.judge(4, 'right'), null);
  weights.sendAgain('it holds others');
  t.deepEqual(take(), ['resynchronise', '4:0', '4:100', '4:200']);
  t.is(taken.at(-1), 'weights');
  t.is(weights.judge(4, 'right'), true);
  // What it was sent ahead before that does not count any more.
  Object.assign(state, { step: 5, hashed: false });
  weights.send();
  t.deepEqual(take(), ['5:0', '5:100', '5:200']);
});
