/** An evaluation at a node: answered once, and not at all when it was taken back while a rank was at it. */
import { decodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits } from '@lockstep/shared/protocol/limits.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { Outbox, type Wire } from '@lockstep/worker/node/outbox.ts';
import { ShardDesk } from '@lockstep/worker/node/shard-desk.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';
import type { EvaluationReport } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';

/** A desk whose ranks do nothing until they are told, and whose coordinator is a list. */
function openDesk() {
  const tasks: PromiseWithResolvers<{ ok: true; report: EvaluationReport }>[] = [];
  const sent: unknown[] = [];
  const finished: number[] = [];
  const wire: Wire & { bufferedAmount: number } = {
    bufferedAmount: 0,
    send: (bytes, done) => {
      const frame = decodeFrame(bytes, defaultLimits, 1 << 20);
      sent.push(frame.ok ? [frame.header['type'], frame.header['assignment']] : frame);
      done();
    },
  };
  const control = { withdrawWeights: () => {}, publishWeights: () => {} };
  const host = {
    pool: {
      size: 1,
      run: () => {
        const task = Promise.withResolvers<{ ok: true; report: EvaluationReport }>();
        tasks.push(task);
        return task.promise;
      },
    },
    store: { layout: { outboxes: 0 }, control, weights: () => new Float32Array(1) },
    layout: { parameterCount: 1, parameters: [] },
  } as unknown as RankHost;
  const recipe = parseRecipe({ model: 'lenet5', dataset: 'synthetic' });
  const outbox = new Outbox(wire, 1 << 20);
  const setup = { recipe, trainCount: 100, host, wireDtype: 'f32', limits: defaultLimits } as const;
  const desk = new ShardDesk(setup, outbox, (assignment) => void finished.push(assignment));
  desk.weightsComplete(0);
  const evaluate = (assignment: number): void =>
    desk.evaluate({ type: 'evaluate', assignment, step: 0, split: 'test', from: 0, count: 2 });
  /** A rank is done with what it was given first. */
  const finish = async (lossSum = 1): Promise<void> => {
    const report = { kind: 'evaluation', from: 0, lossSum, correct: 1, predictions: [1, 2] } as const;
    tasks.shift()?.resolve({ ok: true, report });
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return { desk, wire, outbox, sent, finished, evaluate, finish, tasks };
}

test('one after the other, each with one answer', async (t) => {
  const { sent, finished, evaluate, finish, tasks } = openDesk();
  evaluate(1);
  evaluate(2);
  t.is(tasks.length, 1);
  await finish();
  await finish(Number.NaN);
  t.deepEqual(sent, [
    ['evaluation-done', 1],
    ['failed', 2],
  ]);
  t.deepEqual(finished, [1, 2]);
});

test('nothing comes of one that was taken back, whether it waited, was computed or was about to be sent', async (t) => {
  const { desk, wire, outbox, sent, evaluate, finish, tasks } = openDesk();
  evaluate(1);
  evaluate(2);
  desk.revoke(1);
  desk.revoke(2);
  t.is(tasks.length, 1);
  await finish();
  t.deepEqual(sent, []);
  t.is(desk.computing, 0);

  evaluate(3);
  wire.bufferedAmount = 1 << 30;
  await finish();
  desk.revoke(3);
  wire.bufferedAmount = 0;
  outbox.push({ key: 'other', frame: () => null });
  t.deepEqual(sent, []);

  evaluate(4);
  await finish();
  t.deepEqual(sent, [['evaluation-done', 4]]);
});
