/** Programs of batch-norm mode `sync` in float64: together they are one program that holds the whole batch. */
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { syncPointOf } from '@lockstep/shared/model/sync-points.ts';
import test from 'ava';
import fc from 'fast-check';
import { compareArrays } from '../../helpers/comparison.ts';
import { noise } from '../../helpers/kernel-check.ts';
import { assertProperty } from '../../helpers/property.ts';
import { randomModels } from '../../helpers/random-model.ts';
import { patternObserver, randomInput, ReferenceProgram } from '../../helpers/reference-program.ts';
import { gradientSum, SyncReference } from '../../helpers/sync-reference.ts';
import { unusualModels, zooModels } from '../../helpers/test-models.ts';

const epsilon = 1e-5;
const resnet = zooModels.find(({ name }) => name === 'resnet8-B') as Model;
const cuts = [[2, 2], [3, 1, 2], [1, 0, 2, 1, 0], [1, 1, 1, 1, 1], [4]];

/** Compares with the program of the whole batch. @throws Error naming what differs */
function checkCut(model: Model, sizes: readonly number[], seed: number): void {
  const n = sizes.reduce((a, b) => a + b, 0);
  const input = randomInput(model, n, seed);
  const whole = new ReferenceProgram(compileProgram(model, 'train', n, { batchNormEpsilon: epsilon })).run(
    input,
  );
  const results = new SyncReference(model, sizes, epsilon).run(input);
  const loss = results.reduce((sum, result) => sum + (result?.lossSum ?? 0), 0);
  if (Math.abs(loss - whole.lossSum) > 1e-9 * whole.lossSum)
    throw new Error(`loss ${loss}, ${whole.lossSum}`);
  const layout = layOut(model);
  const sum = gradientSum(results, layout.parameterCount);
  for (const { layer, role, offset, size } of layout.parameters) {
    const part = (all: Float64Array) => all.subarray(offset, offset + size);
    const { ok, message } = compareArrays(part(sum), part(whole.gradients), 1e-7, 1e-3);
    if (!ok) throw new Error(`${sizes.join('+')}: ${layer} ${role}: ${message}`);
  }
}

for (const model of [...zooModels, ...unusualModels].filter(({ layers }) =>
  layers.some((l) => l.kind === 'batch-norm'),
)) {
  test(`${model.name}: loss and gradients are those of one program with the whole batch`, (t) => {
    for (const sizes of cuts) t.notThrows(() => checkCut(model, sizes, 3));
  });
}

test('any graph: loss and gradients are those of one program with the whole batch', (t) => {
  const sizes = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 5 });
  assertProperty(
    fc.property(randomModels, sizes, (model, drawn) => {
      checkCut(model, [...drawn, 2], 7);
      return true;
    }),
    60,
  );
  t.pass();
});

test("the gradients are the derivatives of the whole batch's loss, by central differences", (t) => {
  const sizes = [2, 0, 3, 1];
  const reference = new SyncReference(resnet, sizes, epsilon);
  const input = randomInput(resnet, 6, 11);
  const layout = layOut(resnet);
  const gradients = gradientSum(reference.run(input), layout.parameterCount);
  const weights = Float64Array.from(input.weights);
  const lossAt = () => {
    const { observe, pattern } = patternObserver();
    return { loss: reference.loss({ ...input, weights }, observe), pattern: pattern() };
  };
  const base = lossAt().pattern;
  const step = 1e-5;
  const random = noise(5);
  let measured = 0;
  for (const { layer, role, offset, size } of layout.parameters) {
    const rms = Math.sqrt(gradients.subarray(offset, offset + size).reduce((s, g) => s + g * g, 0) / size);
    for (let tries = 0; tries < 8; tries++) {
      const index = offset + Math.floor(((random(offset + tries) + 1) / 2) * size);
      const before = weights[index] as number;
      weights[index] = before + step;
      const above = lossAt();
      weights[index] = before - step;
      const below = lossAt();
      weights[index] = before;
      if (above.pattern !== base || below.pattern !== base) continue;
      const derivative = (above.loss - below.loss) / (2 * step);
      const error =
        Math.abs(derivative - (gradients[index] as number)) / Math.max(Math.abs(derivative), rms, 1e-2);
      t.true(error < 1e-6, `${layer} ${role}: ${gradients[index]}, by differences ${derivative}`);
      measured++;
      break;
    }
  }
  t.true(measured > layout.parameters.length / 2, `${measured} of ${layout.parameters.length}`);
});

test('points: the same for every shard size, in the order of the layout, forward and back', (t) => {
  for (const model of [...zooModels, ...unusualModels]) {
    const layout = layOut(model);
    for (const n of [1, 3]) {
      const sync = { batchSamples: 9, shift: 0 };
      const { points, forward, backward } = compileProgram(model, 'train', n, {
        batchNormEpsilon: epsilon,
        sync,
      });
      t.is(points.length, 2 * layout.batchNorms.length);
      for (const [at, point] of points.entries()) {
        t.like(point, syncPointOf(layout, at));
        t.is(point.calls <= forward.length, point.direction === 'forward');
        t.true(point.calls < forward.length + backward.length);
        // The call in front of a point gathers what the point is about.
        const call = [...forward, ...backward][point.calls - 1];
        t.true(
          [
            'batchNormMoments',
            'batchNormBackwardReduce',
            'convBackwardWeights',
            'winogradBackwardWeights',
          ].includes(call?.call.kernel ?? ''),
        );
      }
    }
    t.deepEqual(compileProgram(model, 'train', 2, { batchNormEpsilon: epsilon }).points, []);
  }
});

test('a shifted program is the same program elsewhere; what all shards share stays in place', (t) => {
  const at = (shift: number) =>
    compileProgram(resnet, 'train', 3, { batchNormEpsilon: epsilon, sync: { batchSamples: 9, shift } });
  const [a, b] = [at(0), at(1 << 20)];
  t.deepEqual(b.prepare, a.prepare);
  t.is(b.regions.weights, a.regions.weights);
  t.is(b.regions.pixelTable, a.regions.pixelTable);
  t.is(b.regions.gradients, a.regions.gradients + (1 << 20));
  t.is(b.arenaBytes, a.arenaBytes + (1 << 20));
  t.deepEqual(
    b.forward.map(({ call }) => call.kernel),
    a.forward.map(({ call }) => call.kernel),
  );
  const weightsOnly = b.backward.every(({ call }) =>
    call.values.every((value, i) => {
      const before = a.backward[b.backward.findIndex((s) => s.call === call)]?.call.values[i] as number;
      return value === before || value === before + (1 << 20);
    }),
  );
  t.true(weightsOnly);
});
