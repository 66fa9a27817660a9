import test from 'ava';
import {
  best,
  isFarBehind,
  lockstepRatio,
  median,
  memoryVerdict,
  ratioOf,
  type Samples,
  verdicts,
} from '@lockstep/scripts/src/peers/figures.ts';
import type { Role } from '@lockstep/scripts/src/peers/peer-catalogue.ts';

function sample(role: Role, cores: number, rates: number[], title = role as string): Samples {
  const engine = role.startsWith('lockstep') ? 'lockstep' : 'pytorch';
  const spec = { engine, title, cores, role, once: false } as const;
  return { spec, version: `${engine} 1`, detail: '', rates, peakBytes: 1000 };
}

test('the median of an even number is between the middle two, and of nothing it is NaN', (t) => {
  t.is(median([3, 1, 2]), 2);
  t.is(median([4, 1, 2, 3]), 2.5);
  t.is(median([7]), 7);
  t.is(median([]), Number.NaN);
});

test('ratios are taken round by round: a round that is slow for both changes nothing', (t) => {
  // Medians alone would say 100 / 60.
  t.is(ratioOf([100, 20, 200], [50, 10, 100]), 2);
  t.is(ratioOf([100, 300, 30], [60, 100, 20]), 100 / 60);
});

test('a peer that was measured once is compared by its median', (t) => {
  t.is(ratioOf([10, 20, 30], [2]), 10);
});

test('the best of a role is the one with the highest median on as many cores', (t) => {
  const slow = sample('float32', 1, [10, 90, 11], 'NCHW');
  const fast = sample('float32', 1, [12, 13, 14], 'channels_last');
  const wide = sample('float32', 2, [99, 99, 99]);
  t.is(best([slow, fast, wide], 'float32', 1), fast);
  t.is(best([slow, fast, wide], 'bf16', 1), null);
});

test('every peer is compared with Lockstep on as many cores', (t) => {
  const [one, two] = [sample('lockstep', 1, [10, 10]), sample('lockstep', 2, [20, 20])];
  const peer = sample('float32', 2, [10, 5]);
  t.is(lockstepRatio([one, two, peer], peer), 3);
  t.is(lockstepRatio([one, two, peer], one), null);
  t.is(lockstepRatio([peer], peer), null);
});

test('the targets of ResNet-20 are met or missed by their ratios', (t) => {
  const samples = [
    sample('lockstep', 1, [160, 160]),
    sample('lockstep-narrow', 1, [89, 89]),
    sample('lockstep', 2, [310, 310]),
    sample('float32', 1, [100, 100], 'NCHW'),
    sample('float32', 1, [50, 50], 'channels_last'),
    sample('bf16', 1, [159, 159]),
    sample('float32', 2, [150, 150], 'threads'),
    sample('float32', 2, [160, 160], 'DDP'),
  ];
  const found = verdicts(samples, 'resnet20');
  t.deepEqual(
    found.map(({ met }) => met),
    [true, true, false, true, true],
  );
  t.deepEqual(
    found.map(({ against }) => against),
    ['NCHW', 'bf16', 'NCHW', 'DDP', 'lockstep'],
  );
  t.is(found[0]?.ratio, 1.6);
});

test('without a peer or without a target there is nothing to meet', (t) => {
  const alone = verdicts([sample('lockstep', 1, [1]), sample('lockstep', 2, [2])], 'resnet18');
  t.deepEqual(
    alone.map(({ met }) => met),
    [null, null, null, null, true],
  );
  const other = verdicts([sample('lockstep', 1, [1]), sample('float32', 1, [2])], 'resnet8');
  t.is(other[0]?.ratio, 0.5);
  t.is(other[0]?.target, null);
  t.is(other[0]?.met, null);
});

test('peak memory is compared with the float32 peer that needs the least', (t) => {
  const ours = { ...sample('lockstep', 2, [1]), peakBytes: 900 };
  const large = { ...sample('float32', 2, [1], 'large'), peakBytes: 2000 };
  const small = { ...sample('float32', 2, [1], 'small'), peakBytes: 1000 };
  const unknown = { ...sample('float32', 2, [1], 'unknown'), peakBytes: null };
  const verdict = memoryVerdict([ours, large, small, unknown]);
  t.is(verdict.against, 'small');
  t.is(verdict.ratio, 0.9);
  t.true(verdict.met);
  t.false(memoryVerdict([{ ...ours, peakBytes: 1000 }, small]).met);
  t.is(memoryVerdict([ours]).met, null);
});

test('who is twenty times slower than the fastest has said so once', (t) => {
  t.false(isFarBehind([], 1000));
  t.false(isFarBehind([50], 1000));
  t.true(isFarBehind([49], 1000));
  // Once it was near: it is measured on.
  t.false(isFarBehind([49, 60], 1000));
  t.false(isFarBehind([49], 0));
});
