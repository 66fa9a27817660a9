/** An evaluation comes to the same end whoever does it, whoever is lost, hangs, fails or is not believed. */
import { EvaluationRound } from '@lockstep/coordinator/cluster/evaluation-round.ts';
import type { Evaluator, PieceEvents } from '@lockstep/coordinator/cluster/member.ts';
import type { EvaluationReport, EvaluationTask } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';

const tasks = Array.from(
  { length: 6 },
  (_, i): EvaluationTask => ({
    kind: 'evaluation',
    step: 4,
    side: 0,
    split: 'test',
    from: 100 * i,
    count: 100,
  }),
);
const reportOf = ({ from }: EvaluationTask): EvaluationReport => ({
  kind: 'evaluation',
  from,
  lossSum: from / 7,
  correct: from / 100,
  predictions: [from % 10],
});
const expected = tasks.map(reportOf);

/** A node that does nothing until it is told. */
class FakeNode implements Evaluator {
  readonly id: number;
  readonly name: string;
  readonly ranks: number;
  readonly evaluator: Evaluator;
  fit = true;
  step = 4;
  readonly out = new Map<number, { readonly task: EvaluationTask; readonly events: PieceEvents }>();
  readonly given: number[] = [];
  readonly takenBack: number[] = [];

  constructor(id: number, ranks = 1) {
    this.id = id;
    this.name = `node-${id}`;
    this.ranks = ranks;
    this.evaluator = this;
  }

  has(step: number): boolean {
    return this.step === step;
  }

  give(assignment: number, task: EvaluationTask, events: PieceEvents): void {
    this.given.push(assignment);
    this.out.set(assignment, { task, events });
  }

  takeBack(assignment: number): void {
    this.takenBack.push(assignment);
    this.out.delete(assignment);
  }

  /** Answers what it has, until nothing more comes. @returns how many */
  work(most = Number.POSITIVE_INFINITY): number {
    let count = 0;
    for (const [assignment, { task, events }] of this.out) {
      if (count >= most) break;
      this.out.delete(assignment);
      events.onReport(reportOf(task));
      count += 1;
    }
    return count;
  }
}

function setUp(nodes: FakeNode[], computes = false) {
  const state = { now: 0, done: 0, id: 0, own: [] as EvaluationTask[], decisions: [] as string[] };
  const round = new EvaluationRound({
    tasks,
    members: () => nodes,
    own: {
      ranks: 1,
      computes,
      evaluate: async (task) => {
        state.own.push(task);
        return reportOf(task);
      },
    },
    nextId: () => ++state.id,
    decide: (reason) => void state.decisions.push(reason),
    onDone: () => void state.done++,
    now: () => state.now,
  });
  return { round, state };
}

test('two nodes do it all, a few pieces at a time, in the order of the pieces', async (t) => {
  const [a, b] = [new FakeNode(1), new FakeNode(2)];
  const { round, state } = setUp([a, b]);
  const run = round.run();
  t.deepEqual(a.given, [1, 3]);
  t.deepEqual(b.given, [2, 4]);
  b.work();
  a.work();
  t.deepEqual(await run, expected);
  t.is(state.done, 6);
  t.deepEqual(state.own, []);
  t.is(state.decisions.at(-1), 'evaluated 6 pieces: node-1 2, node-2 4');
});

test('without nodes the coordinator does it; with own threads they take part', async (t) => {
  const alone = setUp([]);
  t.deepEqual(await alone.round.run(), expected);
  t.is(alone.state.own.length, 6);

  const node = new FakeNode(1);
  const mixed = setUp([node], true);
  const run = mixed.round.run();
  t.is(node.given.length, 2);
  node.work();
  t.deepEqual(await run, expected);
  t.true(mixed.state.own.length > 0);
});

test('a node that is lost: its pieces go to others, at last to the coordinator', async (t) => {
  const [a, b] = [new FakeNode(1), new FakeNode(2)];
  const nodes = [a, b];
  const { round, state } = setUp(nodes);
  const run = round.run();
  a.work(1);
  nodes.shift();
  round.forget(1, 'gone');
  t.regex(state.decisions[0] ?? '', /^2 pieces of the evaluation go from node-1 to others: gone/);
  b.work(2);
  nodes.shift();
  round.forget(2, 'gone too');
  t.deepEqual(await run, expected);
  t.is(state.own.length, 3);
  t.is(state.done, 6);
});

test('a node that hangs is passed by when its pieces are overdue, and told so', async (t) => {
  const [a, b] = [new FakeNode(1), new FakeNode(2)];
  const { round, state } = setUp([a, b]);
  const run = round.run();
  state.now = 1000;
  b.work();
  t.is(state.done, 4);
  state.now = 4000;
  round.distribute();
  t.is(b.out.size, 0);
  state.now = 5000;
  round.distribute();
  t.is(b.out.size, 1);
  t.regex(state.decisions[0] ?? '', /images from 0 on: has been out for 5\.0 s.*; they go to node-2 too/);
  b.work();
  round.distribute();
  b.work();
  t.deepEqual(await run, expected);
  t.deepEqual(a.takenBack, [1, 3]);
  t.deepEqual(state.own, []);
});

test('when the only node hangs the coordinator does it, and waits for one piece alone', async (t) => {
  const { round, state } = setUp([new FakeNode(1)]);
  const run = round.run();
  state.now = 9000;
  round.distribute();
  t.is(state.own.length, 0);
  state.now = 10_001;
  round.distribute();
  t.is(state.own.length, 1);
  for (let i = 0; i < 100 && state.done < 6; i++) {
    state.now += 10;
    round.distribute();
    await Promise.resolve();
  }
  t.deepEqual(await run, expected);
  t.is(state.own.length, 6);
  t.true(state.now < 12_000);
});

test('a node that fails with a piece does not get it again; one that is distrusted is done over', async (t) => {
  const [a, b] = [new FakeNode(1), new FakeNode(2)];
  const { round, state } = setUp([a, b]);
  const run = round.run();
  const first = [...a.out.values()][0];
  a.out.delete(1);
  first?.events.onFailure('out of memory');
  t.regex(state.decisions[0] ?? '', /images from 0 on go to others: node-1: out of memory/);
  a.work(1);
  t.is(state.done, 1);
  a.fit = false;
  round.forget(1, 'other weights', true);
  b.work();
  t.deepEqual(await run, expected);
  t.is(b.given.length, 6);
  t.is(state.done, 6);
});

test('nodes without the weights of the step, or that come late', async (t) => {
  const [old, late] = [new FakeNode(1), new FakeNode(2)];
  old.step = 3;
  const nodes = [old];
  const { round, state } = setUp(nodes);
  const run = round.run();
  t.is(old.given.length, 0);
  nodes.push(late);
  round.distribute();
  t.is(late.given.length, 2);
  late.work();
  t.deepEqual(await run, expected);
  t.is(state.own.length, 1);
});

test('ranks of this process that cannot: the error is told', async (t) => {
  const round = new EvaluationRound({
    tasks,
    members: () => [],
    own: { ranks: 2, computes: true, evaluate: () => Promise.reject(new Error('RANK_FAILED')) },
    nextId: () => 1,
    decide: () => {},
    onDone: () => {},
  });
  await t.throwsAsync(round.run(), { message: 'RANK_FAILED' });
});
