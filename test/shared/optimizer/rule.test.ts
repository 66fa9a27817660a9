/** Update rules: the kernel calls they make, run over several steps against the papers' formulas. */
import { type Kernel, ReferenceMemory } from '@lockstep/shared/kernels/kernel.ts';
import { kernels, namedArguments } from '@lockstep/shared/kernels/table.ts';
import { integerPower, stateNames, updateCall } from '@lockstep/shared/optimizer/rule.ts';
import { parseRecipe, type RecipeInput } from '@lockstep/shared/recipe.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const n = 5;
const start = [0.5, -1.25, 2, 0, -0.75];
const scale = 1 / 16;
const rate = 0.05;
/** The gradient sum of element i in update t. */
const gradientSum = (t: number, i: number): number => 16 * Math.sin(3 * t + i);

/** Weights after some updates through the calls of `updateCall`, on two sides as the store has them. */
function trained(input: RecipeInput, updates: number): number[] {
  const recipe = parseRecipe(input);
  const memory = new ReferenceMemory(4096);
  const vector = (k: number) => 64 * k;
  const side = (s: number) => ({ w: vector(1 + s), state: [vector(3 + s), vector(5 + s)] });
  memory.values.set(start, side(0).w / 4);
  for (let t = 1; t <= updates; t++) {
    const [from, to] = [side((t - 1) % 2), side(t % 2)];
    for (let i = 0; i < n; i++) memory.values[vector(8) / 4 + i] = gradientSum(t, i);
    const count = stateNames(recipe.optimizer).length;
    const call = updateCall(recipe, t, rate, scale, {
      weights: from.w,
      gradient: vector(8),
      state: from.state.slice(0, count),
      weightsOut: to.w,
      stateOut: to.state.slice(0, count),
      n,
    });
    (kernels[call.kernel] as Kernel).reference(memory, namedArguments(call));
  }
  const at = side(updates % 2).w / 4;
  return Array.from(memory.values.subarray(at, at + n));
}

/** Adam and AdamW as in algorithm 1 and 2 of their papers. */
function adam(weightDecay: number, decoupled: boolean, updates: number): number[] {
  const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
  return start.map((first, i) => {
    let [w, m, v] = [first, 0, 0];
    for (let t = 1; t <= updates; t++) {
      const g = gradientSum(t, i) * scale + (decoupled ? 0 : weightDecay * w);
      m = beta1 * m + (1 - beta1) * g;
      v = beta2 * v + (1 - beta2) * g * g;
      const mHat = m / (1 - beta1 ** t);
      const vHat = v / (1 - beta2 ** t);
      w -= rate * (mHat / (Math.sqrt(vHat) + epsilon) + (decoupled ? weightDecay * w : 0));
    }
    return w;
  });
}

/** torch.optim.SGD. */
function sgd(momentum: number, nesterov: boolean, weightDecay: number, updates: number): number[] {
  return start.map((first, i) => {
    let [w, buffer] = [first, 0];
    for (let t = 1; t <= updates; t++) {
      const g = gradientSum(t, i) * scale + weightDecay * w;
      buffer = t === 1 ? g : momentum * buffer + g;
      w -= rate * (nesterov ? g + momentum * buffer : buffer);
    }
    return w;
  });
}

const near = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((x, i) => Math.abs(x - (b[i] as number)) < 1e-12);

test('adam over seven updates', (t) => {
  t.true(near(trained({ optimizer: 'adam' }, 7), adam(0, false, 7)));
  t.true(near(trained({ optimizer: 'adam', weightDecay: 0.1 }, 7), adam(0.1, false, 7)));
});

test('adamw decays weights apart from the gradient, by 0.01 unless told otherwise', (t) => {
  t.true(near(trained({ optimizer: 'adamw' }, 7), adam(0.01, true, 7)));
  t.true(near(trained({ optimizer: 'adamw', weightDecay: 0.3 }, 7), adam(0.3, true, 7)));
  t.false(near(adam(0.3, true, 7), adam(0.3, false, 7)));
});

test('sgd with and without momentum, Nesterov and weight decay', (t) => {
  t.true(near(trained({ optimizer: 'sgd', momentum: 0, weightDecay: 0 }, 5), sgd(0, false, 0, 5)));
  t.true(near(trained({ optimizer: 'sgd', momentum: 0.9 }, 5), sgd(0.9, false, 0.0001, 5)));
  const all = { optimizer: 'sgd', momentum: 0.8, nesterov: true, weightDecay: 0.02 } as const;
  t.true(near(trained(all, 5), sgd(0.8, true, 0.02, 5)));
});

test('the state that each optimizer keeps', (t) => {
  t.deepEqual(stateNames('sgd'), ['velocity']);
  t.deepEqual(stateNames('adam'), ['first', 'second']);
  t.deepEqual(stateNames('adamw'), ['first', 'second']);
});

test('integer powers', (t) => {
  t.is(integerPower(0.9, 0), 1);
  t.is(integerPower(3, 7), 2187);
  assertProperty(
    fc.property(fc.double({ min: 0.5, max: 1, noNaN: true }), fc.nat(20_000), (base, exponent) => {
      const wanted = base ** exponent;
      return Math.abs(integerPower(base, exponent) - wanted) <= 1e-11 * wanted + 1e-300;
    }),
    500,
  );
  t.is(integerPower(0.999, 1_000_000_000), 0);
});
