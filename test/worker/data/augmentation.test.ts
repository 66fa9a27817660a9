/** Which pixels a training sample reads, and what a pixel value becomes. */
import { normalisationTable, planAugmentation } from '@lockstep/worker/data/augmentation.ts';
import test from 'ava';

test('none is the image itself', (t) => {
  t.deepEqual(planAugmentation('none', 1, 2, 3), { dy: 0, dx: 0, flip: false });
});

test('the same arguments give the same plan; each argument changes it', (t) => {
  const text = (seed: number, epoch: number, sample: number): string =>
    JSON.stringify(planAugmentation('crop-flip', seed, epoch, sample));
  const plans = (vary: (i: number) => [number, number, number]): number =>
    new Set(Array.from({ length: 200 }, (_, i) => text(...vary(i)))).size;
  t.is(text(5, 6, 7), text(5, 6, 7));
  // 162 plans are possible; 200 draws meet about 115 of them.
  t.true(plans((i) => [i, 0, 0]) > 90);
  t.true(plans((i) => [0, i, 0]) > 90);
  t.true(plans((i) => [0, 0, i]) > 90);
});

test('all 81 crops and both flips come equally often, and independently', (t) => {
  const draws = 81 * 2 * 200;
  const counts = new Map<string, number>();
  for (let sample = 0; sample < draws; sample++) {
    const { dy, dx, flip } = planAugmentation('crop-flip', 42, 3, sample);
    const key = `${dy} ${dx} ${flip}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  t.is(counts.size, 162);
  let chiSquare = 0;
  for (const [key, count] of counts) {
    const [dy = 9, dx = 9] = key.split(' ').slice(0, 2).map(Number);
    t.true(Math.abs(dy) <= 4 && Math.abs(dx) <= 4);
    chiSquare += (count - 200) ** 2 / 200;
  }
  // 161 degrees of freedom: mean 161, deviation 18.
  t.true(chiSquare > 161 - 5 * 18 && chiSquare < 161 + 5 * 18, `chi-square ${chiSquare}`);
});

test('the table is computed in float64 and rounded once', (t) => {
  const mean = [0.4914, 0.4822, 0.4465];
  const deviation = [0.247, 0.2435, 0.2616];
  const table = normalisationTable(mean, deviation, 3);
  t.is(table.length, 768);
  for (let channel = 0; channel < 3; channel++) {
    for (const value of [0, 1, 127, 255]) {
      const exact = (value / 255 - (mean[channel] ?? 0)) / (deviation[channel] ?? 1);
      t.is(table[channel * 256 + value], Math.fround(exact));
    }
  }
});
