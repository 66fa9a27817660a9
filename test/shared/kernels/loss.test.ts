import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import test from 'ava';
import fc from 'fast-check';
import { checkGradient } from '../../helpers/finite-difference.ts';
import {
  checkCalls,
  inputTensor,
  logicalValues,
  noise,
  outputTensor,
  seeds,
  tensorOutput,
  runCalls,
  referenceCalls,
} from '../../helpers/kernel-check.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';

/** The loss of N rows of C logits; labels default to a fixed mixture. */
function loss(
  N: number,
  C: number,
  logit: (i: number) => number,
  label = (n: number): number => (n * 7) % C,
) {
  const harness = new KernelHarness();
  const shape = { N, H: 1, W: 1, C };
  const logits = inputTensor(harness, shape, 0, logit);
  const labels = harness.buffer('i32', N, label);
  const dLogits = outputTensor(harness, shape);
  const totals = harness.buffer('f64', 2, () => 77);
  const predictions = harness.buffer('i32', N, () => 77);
  const named = {
    logits: logits.buffer.offset,
    labels: labels.offset,
    N,
    C,
    dLogits: dLogits.buffer.offset,
    totals: totals.offset,
    predictions: predictions.offset,
  };
  return { harness, logits, dLogits, totals, predictions, calls: [['softmaxCrossEntropy', named]] as const };
}

function agrees(made: ReturnType<typeof loss>): void {
  checkCalls(made.harness, made.calls, [
    { name: 'totals', buffer: made.totals, tolerance: 1e-14, floor: 1 },
    { name: 'predictions', buffer: made.predictions, tolerance: 0 },
    tensorOutput('dLogits', made.dLogits, 6e-8, 1),
  ]);
}

test('loss, gradient and predictions agree with the reference', (t) => {
  const sizes = fc.record({
    N: fc.integer({ min: 0, max: 9 }),
    C: fc.integer({ min: 1, max: 37 }),
    seed: seeds,
  });
  fc.assert(
    fc.property(sizes, fc.constantFrom(0.01, 1, 20), ({ N, C, seed }, scale) => {
      agrees(loss(N, C, (i) => scale * noise(seed)(i)));
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('huge, tiny and equal logits', (t) => {
  agrees(loss(5, 10, (i) => 3e38 * noise(1)(i)));
  agrees(loss(5, 10, (i) => 1000 * noise(1)(i)));
  agrees(loss(5, 10, (i) => 1e-42 * noise(1)(i)));
  const equal = loss(3, 10, () => -42);
  agrees(equal);
  const run = runCalls(equal.harness, 'fma-wide', equal.calls);
  t.true(Math.abs((run.read(equal.totals)[0] as number) - 3 * Math.log(10)) < 1e-14);
  t.deepEqual([...run.read(equal.predictions)], [0, 0, 0]);
});

test('what may be left out is left out', (t) => {
  const made = loss(4, 5, noise(1));
  const [name, named] = made.calls[0];
  for (const build of buildNames) {
    const run = runCalls(made.harness, build, [[name, { ...named, dLogits: 0, predictions: 0 }]]);
    t.true(run.read(made.dLogits.buffer).every((x: number) => x === 77));
    t.true(run.read(made.predictions).every((x: number) => x === 77));
    t.true(Number.isFinite(run.read(made.totals)[0]));
  }
});

test('a logit that is not finite, or a label that is no class, never gives a finite loss', (t) => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    for (let place = 0; place < 5; place++) {
      const made = loss(2, 5, (i) => (i === 8 + place ? bad : noise(1)(i)));
      for (const build of buildNames) {
        const run = runCalls(made.harness, build, made.calls);
        t.false(Number.isFinite(run.read(made.totals)[0]));
        const gradient = logicalValues(made.dLogits, run.read(made.dLogits.buffer));
        t.true(gradient.slice(5).every(Number.isNaN));
        t.true(gradient.slice(0, 5).every(Number.isFinite));
      }
      t.false(Number.isFinite(referenceCalls(made.harness, made.calls).read(made.totals)[0]));
    }
  }
  for (const label of [-1, 5, 2 ** 31 - 1]) {
    const made = loss(1, 5, noise(1), () => label);
    t.true(Number.isNaN(runCalls(made.harness, 'fma-narrow', made.calls).read(made.totals)[0]));
  }
});

test('the gradient of the reference is the derivative of its loss', (t) => {
  const made = loss(3, 6, (i) => 2 * noise(4)(i));
  const gradient = logicalValues(
    made.dLogits,
    referenceCalls(made.harness, made.calls).read(made.dLogits.buffer),
  );
  checkGradient(made.harness, made.calls, made.totals, [1, 0], made.logits, gradient);
  t.pass();
});
