import { compareTimings, everything, timeShard } from '@lockstep/scripts/src/compare/shard-timing.ts';
import { Checkout } from '@lockstep/scripts/src/compare/checkout.ts';
import test from 'ava';
import { repositoryRoot } from '../../helpers/command-line.ts';

test('the ratio is the median of pairs, rows come by cost, and what only one version calls has none', (t) => {
  const of = (all: number, conv: number, extra?: number) =>
    new Map([[everything, all], ['conv', conv], ...(extra === undefined ? [] : [['extra', extra] as const])]);
  const rows = compareTimings([
    [of(10, 4), of(5, 4, 1)],
    [of(30, 6), of(10, 3, 2)],
    [of(12, 4), of(6, 4, 1)],
  ]);
  t.deepEqual(
    rows.map(({ name }) => name),
    [everything, 'conv', 'extra'],
  );
  t.deepEqual(rows[0], { name: everything, milliseconds: [10, 5], ratio: 2 });
  t.deepEqual(rows[1], { name: 'conv', milliseconds: [4, 3], ratio: 1 });
  t.deepEqual(rows[2], { name: 'extra', milliseconds: [Number.POSITIVE_INFINITY, 1], ratio: Number.NaN });
});

test('a shard of this checkout runs: every call is timed, and what it computes is finite', async (t) => {
  const checkout = await Checkout.load(repositoryRoot, 'fma-narrow');
  const prepared = checkout.prepare({ model: 'resnet8', images: 2, build: 'fma-narrow' });
  const timing = timeShard(prepared);
  const { program, memory } = prepared;
  const names = new Set(
    [...program.forward, ...program.backward].map(({ call, shapes }) => `${call.kernel} ${shapes}`),
  );
  t.deepEqual(new Set(timing.keys()), new Set([...names, everything]));
  const [lossSum] = new Float64Array(memory.buffer, program.regions.totals, 2);
  t.true((lossSum as number) > 0 && Number.isFinite(lossSum));
});

test('a folder that is no checkout is refused', async (t) => {
  await t.throwsAsync(Checkout.load('/nowhere', 'fma-narrow'), { message: /\/nowhere is no checkout/ });
});
