/** Programs whose images go through runs of calls a few at a time: still the model's loss and its derivatives. */
import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { namedArguments } from '@lockstep/shared/kernels/table.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { imagesTogether, runBytes } from '@lockstep/shared/model/image-runs.ts';
import type { Program } from '@lockstep/shared/model/program.ts';
import { imagesName } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import test from 'ava';
import fc from 'fast-check';
import { sameBits, sameWords } from '../../helpers/bits.ts';
import { compareArrays } from '../../helpers/comparison.ts';
import { runNaively } from '../../helpers/naive-network.ts';
import { checkProgramGradients } from '../../helpers/program-gradient.ts';
import { resultWords, runProgram, spoil } from '../../helpers/program-run.ts';
import { assertProperty } from '../../helpers/property.ts';
import { randomModelsOn } from '../../helpers/random-model.ts';
import { add, convolution, head, model, norm, pool, relu, shortcut } from '../../helpers/test-models.ts';
import { inputPixels, randomInput, ReferenceProgram } from '../../helpers/reference-program.ts';

const options = { batchNormEpsilon: 1e-5 };

/** Calls that treat fewer images than the shard has. */
const partialCalls = (program: Program): number =>
  [...program.forward, ...program.backward].filter(({ call }) => {
    const { N } = namedArguments(call);
    return N !== undefined && call.kernel !== 'matmul' && N < program.shardSize;
  }).length;

test('a range has at least one image, ranges are even, and fit the cache when they can', (t) => {
  assertProperty(
    fc.property(
      fc.integer({ min: 1, max: 5000 }),
      fc.integer({ min: 4, max: 4 * runBytes }),
      fc.integer({ min: 0, max: 4 * runBytes }),
      fc.integer({ min: 1, max: 20 }),
      (n, imageBytes, weightBytes, least) => {
        const together = imagesTogether(n, imageBytes, weightBytes);
        const wished = imagesTogether(n, imageBytes, weightBytes, least);
        if (wished < together || wished > n || 2 * wished < Math.min(n, least)) return false;
        if (least * imageBytes <= runBytes && wished !== together) return false;
        if (weightBytes > (n * imageBytes) / 4) return together === n;
        const ranges = Math.ceil(n / together);
        const last = n - (ranges - 1) * together;
        const fits = together === 1 || together * imageBytes <= runBytes;
        return together >= 1 && together <= n && last >= 1 && last <= together && fits;
      },
    ),
    1000,
  );
  t.pass();
});

for (const kind of ['A', 'B'] as const) {
  const images = { height: 16, width: 16, channels: 3 };
  const resnet = buildModel('resnet8', { images, classes: 10, shortcut: kind });
  const n = 11;
  const input = randomInput(resnet, n, 21);
  const program = compileProgram(resnet, 'train', n, options);
  const reference = new ReferenceProgram(program).run(input);

  test(`resnet8 with shortcut ${kind}, eleven images in several ranges: the loss of the model`, (t) => {
    t.true(partialCalls(program) > 20);
    const { lossSum } = reference;
    const epsilon = options.batchNormEpsilon;
    const pixels = inputPixels(resnet, input);
    const wanted = runNaively(resnet, input.weights, pixels, input.labels, { epsilon, mode: 'train' });
    t.true(Math.abs(lossSum - wanted.lossSum) < 1e-11 * wanted.lossSum);
  });

  test(`resnet8 with shortcut ${kind}, eleven images in several ranges: float32 over garbage`, (t) => {
    const words = buildNames.map((build) => {
      spoil(program, build, 'prepared');
      const found = runProgram(program, build, input);
      const { ok, message } = compareArrays(found.gradients, reference.gradients, 1e-4);
      t.true(ok, `${build}: ${message}`);
      const again = resultWords(runProgram(program, build, input));
      t.notThrows(() => sameWords(resultWords(found), again, `${build} again`));
      return again;
    });
    t.notThrows(() => sameBits(words, buildNames));
  });
}

const resnet20 = buildModel('resnet20', {
  images: { height: 32, width: 32, channels: 3 },
  classes: 10,
  shortcut: 'A',
});

test('what only one run touches has room for the longest range; what others read has room for all', (t) => {
  const { buffers } = compileProgram(resnet20, 'train', 16, options);
  const kibibytes = (name: string) =>
    buffers.filter((b) => b.name === name).map(({ bytes }) => bytes / 2 ** 10);
  // Images of 34 x 34 pixels with 16 channels: three at a time forward, and again one at a time backward.
  const image = (34 * 34 * 64) / 2 ** 10;
  t.deepEqual(kibibytes('stage1.block1.1.relu'), [3 * image, image]);
  t.deepEqual(kibibytes('stage1.block1.2.conv:gradient'), [image]);
  // A residual, and the input of the next block.
  t.deepEqual(kibibytes('stage1.block1.out'), [16 * image]);
  // Normalised when all images are there.
  t.deepEqual(kibibytes('stage1.block1.1.conv'), [16 * 64]);
});

test('the outputs of norms without a residual are computed again backward, if one convolution reads them', (t) => {
  const { backward } = compileProgram(resnet20, 'train', 16, options);
  const again = backward.filter(({ call }) => call.kernel === 'batchNormApply').map(({ layer }) => layer);
  const first = [1, 2, 3].flatMap((stage) =>
    [1, 2, 3].map((block) => `stage${stage}.block${block}.1.norm + relu`),
  );
  t.deepEqual([...new Set(again)].toSorted(), first);
});

test('few channels on large images, in ranges of two and one: gradients are the derivatives', (t) => {
  // Values that stay in a run, are read after it, and are overwritten in it.
  const wide = model('wide', { height: 40, width: 40, channels: 2 }, 3, [
    convolution('c1', imagesName, 6, 3),
    norm('n1', 'c1'),
    relu('r1', 'n1'),
    convolution('c2', 'r1', 6, 3, { bias: true }),
    relu('r2', 'c2'),
    convolution('c3', 'r2', 6, 3),
    add('s1', 'c3', 'r1'),
    pool('average-pool', 'p1', 's1', [2, 2, 0]),
    shortcut('short', 's1', 6, 2),
    norm('n2', 'p1'),
    add('s2', 'n2', 'short'),
    relu('r3', 's2'),
    ...head('r3', 3),
  ]);
  const input = randomInput(wide, 5, 4);
  const program = compileProgram(wide, 'train', 5, options);
  t.true(partialCalls(program) > 20);
  t.notThrows(() => checkProgramGradients(program, input, 1));
});

// Large enough that channels which are all alike give no gradients of a thousand.
const epsilon = 0.1;

/** Programs that are cut into ranges. */
const cutPrograms = fc
  .tuple(randomModelsOn(10, 16), fc.integer({ min: 10, max: 30 }))
  .map(([drafted, n]) => compileProgram(drafted, 'train', n, { batchNormEpsilon: epsilon }))
  .filter((program) => partialCalls(program) > 0);

test('any graph that is cut: the loss of the model', (t) => {
  assertProperty(
    fc.property(cutPrograms, fc.nat(1000), (program, seed) => {
      const input = randomInput(program.model, program.shardSize, seed);
      const { lossSum } = new ReferenceProgram(program).run(input);
      const pixels = inputPixels(program.model, input);
      const how = { epsilon, mode: 'train' } as const;
      const wanted = runNaively(program.model, input.weights, pixels, input.labels, how).lossSum;
      return Math.abs(lossSum - wanted) <= 1e-11 * (1 + wanted);
    }),
    15,
  );
  t.pass();
});

test('any graph that is cut: the same bits again, over garbage, and in both widths', (t) => {
  assertProperty(
    fc.property(cutPrograms, fc.nat(1000), (program, seed) => {
      const input = randomInput(program.model, program.shardSize, seed);
      const wanted = new ReferenceProgram(program).run(input);
      const words = buildNames.map((build) => {
        spoil(program, build, 'prepared');
        const found = runProgram(program, build, input);
        // Terms of a thousand images cancel: the floor is one image's share.
        const { ok, message } = compareArrays(found.gradients, wanted.gradients, 1e-3, 0.1);
        if (!ok) throw new Error(`${build}: ${message}`);
        sameWords(resultWords(found), resultWords(runProgram(program, build, input)), `${build} again`);
        return resultWords(found);
      });
      sameBits(words, buildNames);
      return true;
    }),
    25,
  );
  t.pass();
});
