/** When a node tries again, and when it does not. */
import { backOffLimits, decideBackOff, decideRetry } from '@lockstep/worker/node/back-off.ts';
import { Outbox } from '@lockstep/worker/node/outbox.ts';
import { OutletPool } from '@lockstep/worker/node/outlet-pool.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

test('pauses grow with the failures, are spread over their whole range, and have an end', (t) => {
  assertProperty(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.double({ min: 0, max: 0.999999, noNaN: true }),
      (failures, random) => {
        const { milliseconds } = decideBackOff(failures, random);
        const ceiling = Math.min(backOffLimits.longest, backOffLimits.first * 2 ** (failures - 1));
        return milliseconds >= 0 && milliseconds <= ceiling && milliseconds === Math.round(random * ceiling);
      },
    ),
    200,
  );
  t.is(decideBackOff(1, 0).milliseconds, 0);
  t.is(decideBackOff(50, 0.5).milliseconds, 5000);
});

test('refusals that will not change end a node, the others and the network do not', (t) => {
  t.false(decideRetry('TOKEN_WRONG', 0, 1000).again);
  t.false(decideRetry('NUMERICS_DIFFER', 0, 1000).again);
  t.true(decideRetry(null, 0, 1000).again);
  t.true(decideRetry('HEARTBEAT_LOST', 0, 1000).again);
  t.true(decideRetry('FRAME_CORRUPT', 0, 1000).again);
  t.false(decideRetry(null, 1001, 1000).again);
});

test('an outbox makes frames only while little is unsent, and takes back what it has not made', (t) => {
  const done: (() => void)[] = [];
  const sent: number[] = [];
  const wire = {
    bufferedAmount: 0,
    send(bytes: Uint8Array, then: () => void) {
      sent.push(bytes[0] as number);
      this.bufferedAmount += bytes.length;
      done.push(() => {
        this.bufferedAmount -= bytes.length;
        then();
      });
    },
  };
  const box = new Outbox(wire, 10);
  let made = 0;
  const frame = (first: number) => () => {
    made++;
    return Uint8Array.from({ length: 8 }, () => first);
  };
  for (const [key, first] of [
    ['a', 1],
    ['a', 2],
    ['b', 3],
    ['a', 4],
    ['b', 5],
  ] as const)
    box.push({ key, frame: frame(first) });
  t.is(made, 2);
  box.takeBack('a');
  box.urgent(Uint8Array.from([9]));
  while (done.length > 0) done.shift()?.();
  t.deepEqual(sent, [1, 2, 9, 3, 5]);
  t.is(box.length, 0);
  t.is(box.bytesSent, 33);
});

test('frames of one turn leave together, those of the next one by themselves', async (t) => {
  const events: (string | number)[] = [];
  const box = new Outbox({ bufferedAmount: 0, send: (bytes) => void events.push(bytes[0] as number) }, 100);
  box.urgent(Uint8Array.from([1]));
  box.stream = { cork: () => void events.push('cork'), uncork: () => void events.push('uncork') };
  box.urgent(Uint8Array.from([2]));
  box.push({ key: 'a', frame: () => Uint8Array.from([3]) });
  await Promise.resolve();
  box.urgent(Uint8Array.from([4]));
  await Promise.resolve();
  t.deepEqual(events, [1, 'cork', 2, 3, 'uncork', 'cork', 4, 'uncork']);
});

test('an outlet is free again when its last user is gone', (t) => {
  const pool = new OutletPool(1);
  t.is(pool.take(), 0);
  pool.hold(0);
  pool.release(0);
  t.is(pool.take(), null);
  pool.release(0);
  t.is(pool.take(), 0);
});
