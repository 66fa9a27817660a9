/** Who computes what, who may come in, who is lost: the cluster's pure decisions. */
import { apportion, contiguousRuns, finishOf, type Hand } from '@lockstep/coordinator/cluster/apportion.ts';
import { dialUrl, isLoopback, parseListenAddress } from '@lockstep/coordinator/cluster/listen-address.ts';
import {
  decideDivergence,
  decideGoingOn,
  decideName,
  decideReader,
  decideStart,
} from '@lockstep/coordinator/cluster/presence.ts';
import { MemberRecord } from '@lockstep/coordinator/cluster/member-record.ts';
import { type Busy, decideTheft } from '@lockstep/coordinator/cluster/steal.ts';
import { StepLedger } from '@lockstep/coordinator/cluster/step-ledger.ts';
import { decideToken, tokensAgree } from '@lockstep/coordinator/cluster/token.ts';
import { decompose, shardsOf, summationSchedule } from '@lockstep/shared/protocol/subtree.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const hands = fc
  .array(
    fc.record({
      ranks: fc.integer({ min: 1, max: 8 }),
      speed: fc.double({ min: 0.1, max: 100, noNaN: true }),
    }),
    {
      minLength: 1,
      maxLength: 6,
    },
  )
  .map((list): Hand[] => list.map((hand, id) => ({ ...hand, id, name: `m${id}` })));

test('apportioning gives every shard to one member, in ranges, and nobody could take the last one earlier', (t) => {
  assertProperty(
    fc.property(hands, fc.integer({ min: 1, max: 64 }), (members, count) => {
      const shards = Array.from({ length: count }, (_, i) => i);
      const { shares } = apportion(shards, members);
      const given = shares.flatMap((share) => share.shards);
      if (given.toSorted((a, b) => a - b).some((shard, i) => shard !== i) || given.length !== count)
        return false;
      if (shares.some((share) => contiguousRuns(share.shards).length !== 1)) return false;
      const countOf = (id: number): number => shares.find((share) => share.id === id)?.shards.length ?? 0;
      const end = Math.max(
        ...members.map((hand) => (countOf(hand.id) === 0 ? 0 : finishOf(hand, countOf(hand.id)))),
      );
      // Moving one shard from whoever ends last would not end earlier, within the noise that ties are given.
      return members.every((hand) => finishOf(hand, countOf(hand.id) + 1) >= end * 0.99);
    }),
    300,
  );
  t.deepEqual(apportion([0, 1], []).shares, []);
  t.deepEqual(
    apportion(
      [0, 1, 2, 3, 4, 5, 6, 7],
      [
        { id: 1, name: 'a', ranks: 1, speed: 10 },
        { id: 2, name: 'b', ranks: 1, speed: 10 },
      ],
    ).shares,
    [
      { id: 1, shards: [0, 1, 2, 3] },
      { id: 2, shards: [4, 5, 6, 7] },
    ],
  );
});

test('what is stolen is unfinished work of somebody slower, and never what is begun', (t) => {
  const idle: Hand = { id: 1, name: 'fast', ranks: 1, speed: 10 };
  const slow = (shards: number[], since: number, begun = 1, age = since): Busy => ({
    id: 2,
    name: 'slow',
    ranks: 1,
    speed: 1,
    since,
    work: [{ id: 7, shards, begun, age, depth: shards.length }],
  });
  const theft = decideTheft(idle, [slow([4, 5, 6, 7], 0)]);
  t.is(theft?.kind, 'steal');
  t.deepEqual(theft?.shards, [5, 6, 7]);
  t.is(decideTheft(idle, [slow([4], 0.5)]), null);
  t.is(decideTheft(idle, []), null);
  t.is(decideTheft(idle, [slow([4, 5], 0, 2)]), null);
  // What has not been begun goes, unless the one that has it comes to it nearly as soon.
  const equal = { ...idle, speed: 1 };
  t.deepEqual(decideTheft(equal, [slow([4, 5], 0.1)])?.shards, [5]);
  t.is(decideTheft(equal, [slow([4, 5], 0.9)]), null);
  const copy = decideTheft(idle, [slow([4], 5)]);
  t.is(copy?.kind, 'copy');
  t.deepEqual(copy?.shards, [4]);
  t.regex(copy?.reason ?? '', /slow has had shards 4 for 5\.0 s: fast computes them too/);
  t.is(decideTheft({ ...idle, speed: 0.1 }, [slow([4, 5], 0)]), null);
  // Shards that are computed and wait for the rest of their sum are no work that is left.
  t.is(decideTheft(equal, [slow([4, 5, 6], 0.1, 1)])?.kind, 'steal');
  t.is(decideTheft(equal, [slow([4, 5, 6], 0.9, 2)]), null);
  // What came behind other work is not overdue before that could have been done.
  const second = (depth: number): Busy => ({
    ...slow([4], 1),
    work: [{ id: 7, shards: [4], begun: 1, age: 5, depth }],
  });
  t.is(decideTheft(idle, [second(1)])?.kind, 'copy');
  t.is(decideTheft(idle, [second(2)]), null);
});

test('who is on trial has one shard, however slow it is thought to be, and holds nobody up with it', (t) => {
  const hand = (id: number, speed: number, trial = false): Hand => ({
    id,
    name: `m${id}`,
    ranks: 1,
    speed,
    trial,
  });
  const shards = [0, 1, 2, 3, 4, 5, 6, 7];
  const counts = (members: readonly Hand[], of = shards): number[] => {
    const { shares } = apportion(of, members);
    t.deepEqual(
      shares.flatMap((share) => share.shards),
      of,
    );
    return members.map(({ id }) => shares.find((share) => share.id === id)?.shards.length ?? 0);
  };
  t.deepEqual(counts([hand(1, 10), hand(2, 0.01)]), [8, 0]);
  t.deepEqual(counts([hand(1, 10), hand(2, 0.01, true)]), [7, 1]);
  t.regex(apportion(shards, [hand(1, 10), hand(2, 0.01, true)]).reason, /m2 1 \(0\.0\/s, on trial\)/);
  // Who is given something anyhow is given no more; nobody's only shard is taken for a trial.
  t.deepEqual(counts([hand(1, 10), hand(2, 10, true)]), [4, 4]);
  t.deepEqual(counts([hand(1, 10), hand(2, 10), hand(3, 0.01, true)], [0, 1]), [1, 1, 0]);

  const busy = (trial: boolean): Busy => ({
    ...hand(2, 0.1, trial),
    since: 0.5,
    work: [{ id: 7, shards: [4], begun: 1, age: 0.5, depth: 1 }],
  });
  t.is(decideTheft(hand(1, 10), [busy(false)]), null);
  t.deepEqual(decideTheft(hand(1, 10), [busy(true)])?.shards, [4]);
  t.is(decideTheft(hand(1, 0.1), [busy(true)]), null);
});

test('a member is on trial until it has worked, and again when it has had no work for long', (t) => {
  const record = new MemberRecord(1, 0.001);
  const step = (works: boolean): void => {
    if (works) {
      record.started(0);
      record.delivered(4, 0.1, 100);
    }
    record.stepOver();
  };
  const idleUntilTrial = (): number => {
    let steps = 0;
    for (; !record.onTrial; steps++) step(false);
    return steps;
  };
  t.true(record.onTrial);
  step(false);
  t.true(record.onTrial);
  step(true);
  t.false(record.onTrial);
  t.is(record.imagesPerSecond, 40);
  // Each trial that leads to nothing doubles the pause, to an end; work without a trial sets it back.
  const pauses = Array.from({ length: 9 }, () => {
    const steps = idleUntilTrial();
    step(true);
    return steps;
  });
  t.deepEqual(pauses, [32, 64, 128, 256, 512, 1024, 1024, 1024, 1024]);
  step(true);
  t.is(idleUntilTrial(), 16);
});

test('a ledger counts every shard once, whatever sums come in which order, and its covers are the tree', (t) => {
  const subtrees = fc.integer({ min: 1, max: 20 }).chain((leaves) =>
    fc.record({
      leaves: fc.constant(leaves),
      order: fc.array(
        fc.tuple(fc.nat(leaves - 1), fc.integer({ min: 1, max: leaves })).map(([from, width]) => ({
          from,
          width: Math.min(width, leaves - from),
        })),
        { maxLength: 30 },
      ),
    }),
  );
  assertProperty(
    fc.property(subtrees, ({ leaves, order }) => {
      const shards = Array.from({ length: leaves }, (_, i) => i);
      const ledger = new StepLedger(3, shards);
      const sums = [...order, { from: 0, width: leaves }].flatMap((range) => decompose(leaves, range));
      for (const [i, subtree] of sums.entries()) {
        const reports = shardsOf(subtree).map((shard) => ({
          ...({
            kind: 'shard',
            shard,
            samples: i,
            lossSum: 0,
            correct: 0,
            loadSeconds: 0,
            computeSeconds: 0,
          } as const),
        }));
        ledger.count({ ...subtree, slot: subtree.from }, reports);
      }
      if (!ledger.complete || ledger.free().length > 0) return false;
      return ledger.results().length === leaves && summationSchedule(leaves, ledger.covers()).ok;
    }),
    300,
  );
  t.pass();
});

test('a run begins when enough are there, waits when everybody is gone, and says why', (t) => {
  t.true(decideStart(0, 0, 2).go);
  t.false(decideStart(0, 0, 0).go);
  t.true(decideStart(1, 0, 0).go);
  const waiting = decideStart(1, 3, 2);
  t.false(waiting.go);
  t.is(waiting.reason, 'waiting for nodes: 1 of 3 are ready');
  t.false(decideGoingOn(0, 0).go);
  t.true(decideGoingOn(0, 1).go);
  t.true(decideGoingOn(1, 0).go);
  t.is(decideReader(9_000, { silence: 2_000 }), null);
  t.is(decideReader(11_000, { silence: 2_000 })?.code, 'FLOOD');
  t.is(decideDivergence(true, 3).kind, 'fine');
  t.is(decideDivergence(false, 0).kind, 'resynchronise');
  t.is(decideDivergence(false, 1).kind, 'drop');
});

test('a name that is taken gets a number', (t) => {
  t.is(decideName('a', new Set()), 'a');
  t.is(decideName('a', new Set(['a'])), 'a-2');
  t.is(decideName('a', new Set(['a', 'a-2', 'a-4'])), 'a-3');
  t.is(decideName('a-2', new Set(['a', 'a-2'])), 'a-2-2');
});

test('tokens: none on loopback, one drawn off it, compared whole', (t) => {
  t.is(decideToken(null, true).token, null);
  const drawn = decideToken(null, false);
  t.true(drawn.generated && (drawn.token?.length ?? 0) >= 32);
  t.false(decideToken('long enough', false).generated);
  t.throws(() => decideToken('short', false), { message: /5 characters/ });
  t.true(tokensAgree('secret-token', 'secret-token'));
  for (const wrong of [null, '', 'secret-toke', 'secret-token ', 'Secret-token']) {
    t.false(tokensAgree('secret-token', wrong));
  }
});

test('addresses', (t) => {
  t.deepEqual(parseListenAddress('0.0.0.0:7070'), { host: '0.0.0.0', port: 7070 });
  t.deepEqual(parseListenAddress('[::1]:0'), { host: '::1', port: 0 });
  t.deepEqual(parseListenAddress(':80'), { host: '127.0.0.1', port: 80 });
  t.deepEqual(parseListenAddress('8080'), { host: '127.0.0.1', port: 8080 });
  for (const wrong of ['', 'host', 'host:', 'host:70000', 'a:b:1', '::1:7070']) {
    t.throws(() => parseListenAddress(wrong), { message: /HOST:PORT/ }, wrong);
  }
  t.true(isLoopback('127.0.0.1') && isLoopback('localhost') && isLoopback('::1'));
  t.false(isLoopback('0.0.0.0') || isLoopback('10.0.0.1') || isLoopback('127.evil.example'));
  t.is(dialUrl({ host: '::1', port: 1 }, true, {}), 'wss://[::1]:1');
  t.is(dialUrl({ host: '0.0.0.0', port: 1 }, false, {}), 'ws://127.0.0.1:1');
});
