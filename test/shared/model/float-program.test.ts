/** Programs on the float32 kernels against the same programs in float64, and against themselves. */
import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import type { Program } from '@lockstep/shared/model/program.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import test from 'ava';
import { sameBits, sameWords } from '../../helpers/bits.ts';
import { compareArrays } from '../../helpers/comparison.ts';
import { type FloatResult, resultWords, runProgram, spoil } from '../../helpers/program-run.ts';
import {
  type ProgramInput,
  type ProgramResult,
  randomInput,
  ReferenceProgram,
} from '../../helpers/reference-program.ts';
import { unusualModels, zooModels } from '../../helpers/test-models.ts';

const options = { batchNormEpsilon: 1e-5 };

/** Largest difference from float64, relative to the root mean square of each parameter's gradient. */
const tolerance = 3e-5;

/** @throws Error naming what differs */
function compare(program: Program, found: FloatResult, wanted: ProgramResult, limit: number): void {
  const check = (what: string, a: ArrayLike<number>, b: ArrayLike<number>, floor: number) => {
    const { ok, message } = compareArrays(a, b, limit, floor);
    if (!ok) throw new Error(`${program.model.name} ${what}: ${message}`);
  };
  check('loss', [found.lossSum], [wanted.lossSum], 1);
  const { parameters, batchNorms } = program.layout;
  for (const { layer, role, offset, size } of program.mode === 'train' ? parameters : []) {
    const part = (all: Float32Array | Float64Array) => all.subarray(offset, offset + size);
    // A bias before a batch-norm has no gradient but rounding; the floor is the size of a sample's share.
    check(`${layer} ${role}`, part(found.gradients), part(wanted.gradients), 0.05);
  }
  for (const { layer, channel, channels } of program.mode === 'train' ? batchNorms : []) {
    const part = (all: Float64Array, which: number) =>
      all.subarray(2 * channel, 2 * (channel + channels)).filter((_, i) => i % 2 === which);
    // Channels of a mean near 0 lose as many digits as their deviation holds.
    check(`${layer} means`, part(found.moments, 0), part(wanted.moments, 0), 0.1);
    check(`${layer} M2`, part(found.moments, 1), part(wanted.moments, 1), 0.1);
  }
  if (found.correct !== wanted.correct) throw new Error(`${found.correct} correct, not ${wanted.correct}`);
  if (String(found.predictions) !== String(wanted.predictions)) throw new Error('other predictions');
}

const runAll = (program: Program, input: ProgramInput) =>
  buildNames.map((build) => runProgram(program, build, input));

const everyModel: readonly Model[] = [...zooModels, ...unusualModels];

for (const model of everyModel) {
  for (const mode of ['train', 'evaluate'] as const) {
    test(`${model.name} to ${mode}: float32 is near float64, and both widths give the same bits`, (t) => {
      const n = model.name === 'lenet5' ? 2 : 5;
      const input = randomInput(model, n, 11);
      const program = compileProgram(model, mode, n, options);
      const wanted = new ReferenceProgram(program).run(input);
      const results = runAll(program, input);
      for (const found of results) t.notThrows(() => compare(program, found, wanted, tolerance));
      t.notThrows(() => sameBits(results.map(resultWords), buildNames));
    });
  }

  test(`${model.name}: a second run, and a run over garbage, give the same bits`, (t) => {
    const input = randomInput(model, 3, 12);
    for (const mode of ['train', 'evaluate'] as const) {
      const program = compileProgram(model, mode, 3, options);
      for (const build of buildNames) {
        const first = resultWords(runProgram(program, build, input));
        const second = resultWords(runProgram(program, build, input));
        t.notThrows(() => sameWords(first, second, `${build} ${mode} again`));
        spoil(program, build, 'prepared');
        const third = resultWords(runProgram(program, build, input));
        t.notThrows(() => sameWords(first, third, `${build} ${mode} over garbage`));
      }
    }
  });
}

test('resnet20 on 32x32 images: a deep program in float32 is near float64', (t) => {
  const images = { height: 32, width: 32, channels: 3 };
  const model = buildModel('resnet20', { images, classes: 10, shortcut: 'A' });
  const input = randomInput(model, 2, 13);
  const program = compileProgram(model, 'train', 2, options);
  const wanted = new ReferenceProgram(program).run(input);
  const results = runAll(program, input);
  for (const found of results) t.notThrows(() => compare(program, found, wanted, 5e-4));
  t.notThrows(() => sameBits(results.map(resultWords), buildNames));
});
