/** Learning rates: the three schedules and the warm-up, against their formulas. */
import { learningRate } from '@lockstep/shared/optimizer/schedule.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const schedules = fc.constantFrom('constant' as const, 'cosine' as const, 'step' as const);

test('cosine agrees with Math.cos to 1e-12 of the peak', (t) => {
  assertProperty(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.nat(100_000),
      fc.double({ min: 1e-6, max: 10, noNaN: true }),
      (lastStep, draft, lr) => {
        const step = draft % (lastStep + 1);
        const found = learningRate({ lr, schedule: 'cosine', warmupSteps: 0 }, step, lastStep);
        const wanted = (lr * (1 + Math.cos((Math.PI * step) / lastStep))) / 2;
        return Math.abs(found - wanted) <= 1e-12 * lr;
      },
    ),
    2000,
  );
  t.pass();
});

test('cosine starts at the peak, is half way at half time and ends at 0', (t) => {
  const rate = (step: number) => learningRate({ lr: 2, schedule: 'cosine', warmupSteps: 0 }, step, 1000);
  t.is(rate(0), 2);
  t.true(Math.abs(rate(500) - 1) < 1e-12);
  t.true(Math.abs(rate(1000)) < 1e-12);
});

test('step: a tenth after half of the run, a hundredth after three quarters', (t) => {
  const rate = (step: number) => learningRate({ lr: 0.1, schedule: 'step', warmupSteps: 0 }, step, 1000);
  t.is(rate(0), 0.1);
  t.is(rate(499), 0.1);
  t.true(Math.abs(rate(500) - 0.01) < 1e-15);
  t.true(Math.abs(rate(749) - 0.01) < 1e-15);
  t.true(Math.abs(rate(750) - 0.001) < 1e-15);
  t.true(Math.abs(rate(999) - 0.001) < 1e-15);
});

test('warm-up rises linearly, never starts at 0 and meets the peak', (t) => {
  for (const schedule of ['constant', 'cosine', 'step'] as const) {
    const recipe = { lr: 0.4, schedule, warmupSteps: 8 };
    const rates = Array.from({ length: 9 }, (_, step) => learningRate(recipe, step, 100));
    rates.slice(0, 8).forEach((rate, i) => t.true(Math.abs(rate - 0.05 * (i + 1)) < 1e-15, schedule));
    t.is(rates[7], 0.4);
    t.is(rates[8], 0.4);
  }
});

test('after the warm-up, cosine spans what is left of the run', (t) => {
  const recipe = { lr: 1, schedule: 'cosine' as const, warmupSteps: 20 };
  t.true(Math.abs(learningRate(recipe, 70, 120) - 0.5) < 1e-12);
  t.true(Math.abs(learningRate(recipe, 120, 120)) < 1e-12);
});

test('any schedule: positive before the end, never above the peak, never rising after the warm-up', (t) => {
  assertProperty(
    fc.property(
      schedules,
      fc.integer({ min: 1, max: 300 }),
      fc.nat(40),
      (schedule, lastStep, warmupSteps) => {
        const recipe = { lr: 0.3, schedule, warmupSteps };
        const rates = Array.from({ length: lastStep }, (_, step) => learningRate(recipe, step, lastStep));
        const falls = rates.every((rate, i) => i <= warmupSteps || rate <= (rates[i - 1] as number));
        return falls && rates.every((rate) => rate > 0 && rate <= 0.3 + 1e-15);
      },
    ),
  );
  t.pass();
});

test('a warm-up longer than the run, and steps beyond its end, are harmless', (t) => {
  t.is(learningRate({ lr: 1, schedule: 'cosine', warmupSteps: 100 }, 9, 10), 0.1);
  t.true(Math.abs(learningRate({ lr: 1, schedule: 'cosine', warmupSteps: 10 }, 10, 10) - 1) < 1e-12);
  t.true(Math.abs(learningRate({ lr: 1, schedule: 'cosine', warmupSteps: 0 }, 5000, 10)) < 1e-12);
});
