/** The clock by which work is late: it stands while the process does. */
import { WakingClock } from '@lockstep/coordinator/cluster/waking-clock.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

function clockAt(start: number): { readonly at: (time: number) => number } {
  let time = start;
  const clock = new WakingClock(() => time);
  const at = (next: number): number => {
    time = next;
    return clock.now();
  };
  return { at };
}

test('while somebody looks every now and then it is the clock that it is made of', (t) => {
  const { at } = clockAt(1000);
  for (let time = 1000; time < 9000; time += 100) t.is(at(time), time);
});

test('of a sleep only the first half second counts, and time goes on from there', (t) => {
  const { at } = clockAt(0);
  t.is(at(100), 100);
  t.is(at(30_100), 600);
  t.is(at(30_200), 700);
  t.is(at(30_700), 1200, 'half a second is no sleep');
  t.is(at(31_201), 1700, 'a millisecond more is one');
});

test('it never goes back, and never faster than what it is made of', (t) => {
  assertProperty(
    fc.property(fc.array(fc.double({ min: 0, max: 1e5, noNaN: true }), { maxLength: 50 }), (gaps) => {
      const { at } = clockAt(0);
      let [time, before] = [0, 0];
      for (const gap of gaps) {
        time += gap;
        const now = at(time);
        if (now < before || now - before > gap + 1e-6 || now > time + 1e-6) return false;
        if (gap <= 500 && Math.abs(now - before - gap) > 1e-6) return false;
        before = now;
      }
      return true;
    }),
  );
  t.pass();
});
