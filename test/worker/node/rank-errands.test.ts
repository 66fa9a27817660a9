/**
 * An evaluation at a node: answered once, and not at all when it was taken back while a rank was at it. Shards that come
 * back undone.
 */
import { decodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits } from '@lockstep/shared/protocol/limits.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import type { DeskBoard, OpenSubtree } from '@lockstep/worker/node/desk-board.ts';
import { Outbox, type Wire } from '@lockstep/worker/node/outbox.ts';
import { RankErrands } from '@lockstep/worker/node/rank-errands.ts';
import { ShardDesk } from '@lockstep/worker/node/shard-desk.ts';
import type { SubtreeSender } from '@lockstep/worker/node/subtree-sender.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';
import type { EvaluationReport, ShardReport, ShardsTask } from '@lockstep/worker/rank/tasks.ts';
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

/** A board on which all shards of a step are one subtree, and ranks that answer as they are told. */
function openErrands(answer: (shard: number, attempt: number) => 'done' | 'undone' | 'taken back' | 'lost') {
  const asked: number[][] = [];
  const failed: string[] = [];
  const revoked = new Set<number>();
  const reports = new Map<number, ShardReport>();
  const run = async ({ tasks }: ShardsTask) => {
    const attempt = asked.push(tasks.map(({ shard }) => shard));
    const answers = tasks.map(({ shard }) => ({ shard, how: answer(shard, attempt) }));
    for (const { shard, how } of answers) if (how === 'taken back') revoked.add(shard);
    if (answers.some(({ how }) => how === 'lost')) return { ok: false, reason: 'the thread has ended' };
    const shards = answers.map(({ shard, how }): ShardReport => {
      const none = { kind: 'shard', shard, samples: 1, lossSum: 1, correct: 1 } as const;
      const report = { ...none, loadSeconds: 0, computeSeconds: 0 };
      return how === 'done' ? report : { ...report, revoked: true };
    });
    return { ok: true, report: { kind: 'shards', shards } };
  };
  const control = {
    begin: () => {},
    reopenTaken: () => {},
    isRevoked: (shard: number) => revoked.has(shard),
  };
  const board = {
    setup: { host: { pool: { run }, store: { control } } },
    running: new Map<number, number>(),
    outlets: { hold: () => {}, release: () => {} },
    reports,
    open: [],
    step: 5,
    closed: false,
    planOf: () => ({ epoch: 0, shards: [] }),
    reportOf: () => null,
    record: (report: ShardReport) => void reports.set(report.shard, report),
    account: () => {},
  };
  const errands = new RankErrands(board as unknown as DeskBoard, {} as SubtreeSender, {
    fail: (assignment, cause, reason) => void failed.push(`${assignment} ${cause} ${reason}`),
    onFinished: () => {},
    onFree: () => {},
  });
  const open = {
    assignment: 9,
    step: 5,
    subtree: { from: 0, width: 4 },
    outbox: 0,
  } as unknown as OpenSubtree;
  const compute = (...shards: number[]): Promise<void> =>
    errands.shards(shards.map((shard) => ({ shard, open })));
  return { compute, asked, failed, reports, board };
}

test('shards whose weights did not come in time are waited for again, those that were taken back are not', async (t) => {
  const { compute, asked, failed, reports, board } = openErrands((shard, attempt) => {
    if (shard === 1) return 'taken back';
    return shard === 0 || attempt > 7 ? 'done' : 'undone';
  });
  await compute(0, 1, 2, 3);
  t.deepEqual(asked, [[0, 1, 2, 3], ...Array.from({ length: 7 }, () => [2, 3])]);
  t.deepEqual([...reports.keys()], [0, 2, 3]);
  t.deepEqual(failed, []);
  t.is(board.running.size, 0);
});

test('a rank that is lost again and again with the same shards cannot do them', async (t) => {
  const { compute, asked, failed, board } = openErrands(() => 'lost');
  await compute(2, 3);
  t.deepEqual(asked, [
    [2, 3],
    [2, 3],
    [2, 3],
  ]);
  t.deepEqual(failed, [
    '9 rank-lost shard 2: the thread has ended',
    '9 rank-lost shard 3: the thread has ended',
  ]);
  t.is(board.running.size, 0);
});
