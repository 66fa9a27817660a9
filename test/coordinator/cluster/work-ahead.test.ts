/** Work that is given ahead of its step: to whom, what becomes of it, and that each shard still counts once. */
import { EarlyUpdates } from '@lockstep/coordinator/cluster/early-updates.ts';
import type { LocalMember } from '@lockstep/coordinator/cluster/local-member.ts';
import type { Delivery, Member, Work } from '@lockstep/coordinator/cluster/member.ts';
import { MemberRecord } from '@lockstep/coordinator/cluster/member-record.ts';
import { beginStep, groundOf, type StepInProgress } from '@lockstep/coordinator/cluster/step-in-progress.ts';
import { WorkDistribution } from '@lockstep/coordinator/cluster/work-distribution.ts';
import { WorkSettlement } from '@lockstep/coordinator/cluster/work-settlement.ts';
import type { RunEvent } from '@lockstep/coordinator/metrics/events.ts';
import { shardCount, shardsOf } from '@lockstep/shared/protocol/subtree.ts';
import type { ShardTask } from '@lockstep/worker/rank/tasks.ts';
import test from 'ava';

const shards = 8;

function tasksOf(step: number): ShardTask[] {
  return Array.from({ length: shards }, (_, shard) => ({
    ...({ kind: 'shard', step, side: step % 2 === 0 ? 0 : 1, epoch: 0 } as const),
    shard,
    samples: [2 * shard, 2 * shard + 1],
  }));
}

class FakeMember implements Member {
  readonly id: number;
  readonly name: string;
  readonly instance: string;
  readonly ranks = 1;
  readonly record = new MemberRecord(1, 100);
  readonly sums = true;
  readonly fit = true;
  readonly looksAhead: boolean;
  readonly has: Work[] = [];
  readonly tookBack: number[] = [];

  constructor(id: number, looksAhead = true) {
    this.id = id;
    this.name = `m${id}`;
    this.instance = `instance ${id}`;
    this.looksAhead = looksAhead;
  }

  give(work: Work): void {
    this.has.push(work);
  }

  total(): void {}

  /** All of it: so nothing is taken over. */
  begunOf({ subtrees }: Work): number {
    return shardCount(subtrees);
  }

  takeBack(work: Work): boolean {
    this.tookBack.push(work.id);
    return true;
  }

  workOf(step: number): Work[] {
    return this.has.filter((work) => work.step === step);
  }
}

class FakeCluster {
  readonly members = new Map<number, Member>();
  readonly events: RunEvent[] = [];
  readonly distribution = new WorkDistribution(
    this.members,
    false,
    (event) => this.events.push(event),
    () => performance.now(),
  );
  readonly settlement = new WorkSettlement(this.distribution, {
    isRunning: () => false,
  } as unknown as LocalMember);

  constructor(...members: readonly FakeMember[]) {
    for (const member of members) this.members.set(member.id, member);
  }

  /** As the workforce does it. */
  begin(step: number): StepInProgress {
    const early = new EarlyUpdates({
      shards,
      blocks: [],
      updateOf: null,
      onUpdated: () => {},
      run: () => Promise.reject(new Error('nothing is updated here')),
    });
    const ahead = this.distribution.takeAhead(step);
    const current = beginStep(ahead?.ground ?? groundOf(tasksOf(step), null, null), early);
    ahead?.begin(performance.now());
    this.distribution.current = current;
    this.settlement.begin(current, ahead?.take() ?? []);
    this.distribution.distribute();
    return current;
  }

  end(): void {
    this.distribution.current = null;
  }

  /** All that a piece of work is about comes in. @returns how often its sums were stored and let go */
  deliver(work: Work): { stored: number; released: number } {
    const count = { stored: 0, released: 0 };
    for (const subtree of work.subtrees) {
      const reports = shardsOf(subtree).map((shard) => ({
        ...({ kind: 'shard', shard, samples: 2, lossSum: 1, correct: 1 } as const),
        loadSeconds: 0,
        computeSeconds: 0.01,
      }));
      const delivery: Delivery = {
        work,
        reports,
        sum: { ...subtree, slot: subtree.from },
        store: () => void (count.stored += 1),
        release: () => void (count.released += 1),
      };
      this.settlement.deliver(delivery);
    }
    return count;
  }
}

function shardsIn(works: readonly Work[]): number[] {
  return works.flatMap(({ subtrees }) => subtrees.flatMap(shardsOf)).toSorted((a, b) => a - b);
}

const all = Array.from({ length: shards }, (_, i) => i);

test('given once, before its step, and what has come by then counts when the step begins', async (t) => {
  const [a, b] = [new FakeMember(1), new FakeMember(2)];
  const cluster = new FakeCluster(a, b);
  const { distribution } = cluster;
  const first = cluster.begin(0);
  distribution.giveAhead(tasksOf(1));
  distribution.giveAhead(tasksOf(1));
  t.deepEqual(shardsIn([...a.workOf(1), ...b.workOf(1)]), all);
  t.deepEqual(shardsIn(distribution.worksOf(a)), shardsIn(a.workOf(0)), 'of the step itself');
  for (const work of [...a.workOf(0), ...b.workOf(0)]) cluster.deliver(work);
  t.true(await first.done.promise);
  // So fast that the step before is not committed yet.
  const early = a.workOf(1).map((work) => cluster.deliver(work));
  t.true(early.every(({ stored, released }) => stored === 0 && released === 0));
  cluster.end();
  const before = performance.now();
  const second = cluster.begin(1);
  t.true(early.every(({ stored }) => stored === 1));
  t.true(
    b.workOf(1).every(({ givenAt }) => givenAt >= before),
    'time counts from its beginning on',
  );
  t.deepEqual(
    all.filter((shard) => second.ledger.isCounted(shard)),
    shardsIn(a.workOf(1)),
  );
  t.deepEqual(shardsIn([...a.workOf(1), ...b.workOf(1)]), all, 'nothing is given a second time');
  for (const work of b.workOf(1)) cluster.deliver(work);
  t.true(await second.done.promise);
  t.is(second.ledger.results().length, shards);
});

test('who computes one step at a time gets its share when the step begins', (t) => {
  const [node, threads] = [new FakeMember(1), new FakeMember(2, false)];
  const cluster = new FakeCluster(node, threads);
  cluster.begin(0);
  cluster.distribution.giveAhead(tasksOf(1));
  t.is(threads.workOf(1).length, 0);
  const ahead = shardsIn(node.workOf(1));
  t.true(ahead.length > 0 && ahead.length < shards, ahead.join());
  for (const work of [...node.workOf(0), ...threads.workOf(0)]) cluster.deliver(work);
  cluster.end();
  cluster.begin(1);
  t.deepEqual(shardsIn(node.workOf(1)), ahead);
  t.deepEqual(shardsIn([...node.workOf(1), ...threads.workOf(1)]), all);
  // Alone they are given nothing ahead.
  const alone = new FakeCluster(new FakeMember(3, false));
  alone.begin(0);
  alone.distribution.giveAhead(tasksOf(1));
  t.is(alone.distribution.ahead, null);
});

test('what somebody had who is gone, or could not do, goes to others; what came of it does not count', (t) => {
  const [a, b] = [new FakeMember(1), new FakeMember(2)];
  const cluster = new FakeCluster(a, b);
  const { distribution, settlement } = cluster;
  cluster.begin(0);
  distribution.giveAhead(tasksOf(1));
  for (const work of [...a.workOf(0), ...b.workOf(0)]) cluster.deliver(work);
  const lost = a.workOf(1).map((work) => cluster.deliver(work));
  cluster.members.delete(a.id);
  distribution.forget(a, 'it is gone');
  for (const work of b.workOf(1)) settlement.fail(work, 'rank-lost', 'it could not');
  // Of the first step nothing was open.
  const reasons = cluster.events.flatMap((event) => (event.type === 'decision' ? event.reason : []));
  t.deepEqual(reasons, [
    `shards ${shardsIn(a.workOf(1)).join(', ')} of m1 go to others, of the next step, when that begins: it is gone`,
    'work of m2 for the next step goes out again when that begins: it could not',
  ]);
  cluster.end();
  const c = new FakeMember(3);
  cluster.members.set(c.id, c);
  const second = cluster.begin(1);
  t.true(lost.every(({ stored, released }) => stored === 0 && released === 1));
  const failed = shardsIn(b.workOf(1).slice(0, 1));
  const others = all.filter((shard) => !failed.includes(shard));
  t.deepEqual(
    shardsIn([...c.workOf(1), ...b.workOf(1)]),
    [...failed, ...all].toSorted((x, y) => x - y),
  );
  t.true(
    failed.every((shard) => shardsIn(c.workOf(1)).includes(shard)),
    'not to whoever has just failed',
  );
  t.is(second.ledger.attempts(failed[0] as number), 1);
  t.is(second.ledger.attempts(others[0] as number), 0);
  // All of it comes once more, from those who have it now.
  for (const work of second.ledger.works.values()) cluster.deliver(work);
  t.true(second.ledger.complete);
});

test('a step that does not begin after all is taken back, and so is one that another one came before', (t) => {
  const member = new FakeMember(1);
  const cluster = new FakeCluster(member);
  cluster.begin(0);
  cluster.distribution.giveAhead(tasksOf(1));
  const [work] = member.workOf(1);
  const came = cluster.deliver(work as Work);
  cluster.distribution.withdrawAhead('an evaluation comes first');
  t.deepEqual(member.tookBack, [work?.id]);
  t.deepEqual(came, { stored: 0, released: 1 });
  cluster.distribution.giveAhead(tasksOf(1));
  const again = member.workOf(1).at(-1) as Work;
  cluster.end();
  const other = cluster.begin(2);
  t.deepEqual(member.tookBack, [work?.id, again.id]);
  t.deepEqual(shardsIn(member.workOf(2)), all);
  t.is(other.ledger.step, 2);
  t.is(cluster.distribution.ahead, null);
});
