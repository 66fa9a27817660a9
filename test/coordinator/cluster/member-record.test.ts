/** How fast members are thought to be, where they share a processor and who works alone is faster. */
import { apportion } from '@lockstep/coordinator/cluster/apportion.ts';
import { endStep, MemberRecord } from '@lockstep/coordinator/cluster/member-record.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const shards = 8;
const samples = 16;

/** Two members on two cores that share what a core alone would have: memory, caches, sometimes the core itself. */
class SharedMachine {
  readonly records = [new MemberRecord(1, 400), new MemberRecord(1, 400)];
  /** Seconds of a shard while both work, by member. */
  private readonly together: readonly [number, number];
  /** Part of this that it takes alone. */
  private readonly alone: number;

  constructor(together: readonly [number, number], alone: number) {
    this.together = together;
    this.alone = alone;
  }

  /** Seconds of each shard of both when they have so many. */
  step(counts: readonly number[]): void {
    const [a = 0, b = 0] = counts;
    const left = [a, b];
    const seconds: number[][] = [[], []];
    const spent = [0, 0];
    const at = [0, 0];
    // Little by little: who has nothing left leaves the other one alone.
    while (left.some((count) => count > 0)) {
      const isAlone = left.includes(0);
      for (const i of [0, 1] as const) {
        if (left[i] === 0) continue;
        const pace = this.together[i] * (isAlone ? this.alone : 1);
        at[i] = (at[i] as number) + 0.0001 / pace;
        spent[i] = (spent[i] as number) + 0.0001;
        if ((at[i] as number) < 1) continue;
        seconds[i]?.push(spent[i] as number);
        [at[i], spent[i], left[i]] = [0, 0, (left[i] as number) - 1];
      }
    }
    for (const [i, record] of this.records.entries()) {
      const own = seconds[i] ?? [];
      if (own.length === 0) continue;
      record.started(0);
      const end = own.reduce((sum, one) => sum + one, 0) * 1000;
      for (const one of own) record.delivered(samples, one, end);
    }
    endStep(this.records);
  }

  /** Shards that each would be given next. */
  next(): number[] {
    const hands = this.records.map((record, id) => ({
      id,
      name: `m${id}`,
      ranks: 1,
      speed: record.imagesPerSecond / samples,
    }));
    const { shares } = apportion(
      Array.from({ length: shards }, (_, i) => i),
      hands,
    );
    return hands.map(({ id }) => shares.find((share) => share.id === id)?.shards.length ?? 0);
  }
}

test('whoever once has more shards does not keep them for being faster when the other one has ended', (t) => {
  assertProperty(
    fc.property(
      fc.constantFrom([3, 5], [5, 3], [2, 6], [6, 2], [1, 7]),
      fc.double({ min: 0.5, max: 1, noNaN: true }),
      fc.double({ min: 0.95, max: 1.05, noNaN: true }),
      (uneven, alone, ratio) => {
        const machine = new SharedMachine([0.03, 0.03 * ratio], alone);
        for (let i = 0; i < 3; i++) machine.step(uneven);
        for (let i = 0; i < 12; i++) machine.step(machine.next());
        const counts = machine.next();
        for (let i = 0; i < 5; i++) {
          if (machine.next().join() !== counts.join()) return false;
          machine.step(machine.next());
        }
        return counts.join() === '4,4';
      },
    ),
    60,
  );
  t.pass();
});

test('a member that is really slower gets less, for good', (t) => {
  const machine = new SharedMachine([0.03, 0.06], 0.8);
  const seen = new Set<string>();
  for (let i = 0; i < 30; i++) {
    const counts = machine.next();
    if (i >= 10) seen.add(counts.join());
    machine.step(counts);
  }
  t.deepEqual([...seen], ['5,3']);
});

test('one shard at least counts, and a member without work takes no part', (t) => {
  const [slow, fast, idle] = [new MemberRecord(1), new MemberRecord(2), new MemberRecord(1, 77)] as const;
  slow.started(0);
  slow.delivered(16, 0.5, 500);
  fast.started(0);
  // Two ranks, four shards each: 0.2, 0.4, 0.6 and 0.8 s on; the last of them alone.
  for (const seconds of [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1]) fast.delivered(16, seconds, 700);
  t.is(idle.span, null);
  t.is(slow.span, 0.5);
  endStep([slow, fast, idle]);
  t.is(slow.imagesPerSecond, 32);
  t.is(fast.imagesPerSecond, 160);
  t.is(idle.imagesPerSecond, 77);
  // A shard that is longer than all that the other one did is all there is to go by.
  slow.started(1000);
  slow.delivered(16, 0.5, 1500);
  fast.started(1000);
  fast.delivered(16, 0.01, 1010);
  endStep([slow, fast, idle]);
  t.is(slow.imagesPerSecond, 32);
});
