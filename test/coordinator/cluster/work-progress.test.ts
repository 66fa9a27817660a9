/** When a node is asked how far it is, and how long its answer is good for. */
import { type Asking, decideAsking, WorkProgress } from '@lockstep/coordinator/cluster/work-progress.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

test('asked once, known when the answer is here, and again when it is old', (t) => {
  const progress = new WorkProgress();
  const at = (now: number): [Asking, number] => [progress.asking(7, 4, now), progress.begunOf(7)];
  t.deepEqual(at(1000), ['ask', 0]);
  progress.asked(7, 1000);
  t.deepEqual(at(1001), ['asked', 0]);
  progress.answered(7, 3, 1002);
  t.deepEqual(at(1002), ['known', 3]);
  t.deepEqual(at(1022), ['known', 3]);
  t.deepEqual(at(1023), ['ask', 3], 'what is old is the best there is, and not good enough');
  progress.asked(7, 1023);
  t.deepEqual(at(1024), ['asked', 3]);
  t.deepEqual(progress.asking(8, 4, 1024), 'ask', 'other work is another matter');
  progress.forget(7);
  t.deepEqual(at(1025), ['ask', 0]);
});

test('who does not answer is not waited for', (t) => {
  assertProperty(
    fc.property(fc.nat(10), fc.option(fc.nat(1000)), fc.nat(1000), (begun, answeredAt, askedAt) => {
      const knowledge = { begun, answeredAt, askedAt };
      const kinds = Array.from({ length: 200 }, (_, i) => decideAsking(knowledge, 11, askedAt + i));
      const given = kinds.indexOf('known');
      return given > 0 && kinds.every((kind, i) => kind === (i < given ? 'asked' : 'known'));
    }),
  );
  t.pass();
});

test('whose sums are on their way has begun what is in them, and is not asked what cannot be taken over', (t) => {
  const progress = new WorkProgress();
  progress.seen(7, 2);
  t.is(progress.begunOf(7), 2);
  t.is(progress.asking(7, 4, 1000), 'ask', 'there may be more that it has begun');
  progress.asked(7, 1000);
  progress.seen(7, 1);
  t.is(progress.begunOf(7), 2, 'a piece of an earlier sum takes nothing back');
  t.is(progress.asking(7, 4, 1001), 'asked');
  progress.seen(7, 4);
  t.deepEqual([progress.asking(7, 4, 1001), progress.begunOf(7)], ['known', 4]);
  t.is(progress.asking(7, 4, 99_999), 'known');
  progress.answered(8, 4, 1000);
  t.is(progress.asking(8, 4, 99_999), 'known');
});
