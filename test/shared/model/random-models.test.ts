/** Properties of compiled programs over random graphs of layers. */
import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import test from 'ava';
import fc from 'fast-check';
import { sameBits, sameWords } from '../../helpers/bits.ts';
import { runNaively } from '../../helpers/naive-network.ts';
import { checkProgramGradients } from '../../helpers/program-gradient.ts';
import { resultWords, runProgram, spoil } from '../../helpers/program-run.ts';
import { assertProperty } from '../../helpers/property.ts';
import { randomModels } from '../../helpers/random-model.ts';
import { inputPixels, randomInput, ReferenceProgram } from '../../helpers/reference-program.ts';

// Large enough that channels which are all alike give no gradients of a thousand.
const epsilon = 0.1;
const sizes = fc.integer({ min: 1, max: 3 });
const seeds = fc.nat(1000);

test('any graph: the program gives the loss of the model, in both modes', (t) => {
  assertProperty(
    fc.property(randomModels, sizes, seeds, fc.constantFrom('train', 'evaluate'), (model, n, seed, mode) => {
      const input = randomInput(model, n, seed);
      const program = compileProgram(model, mode, n, { batchNormEpsilon: epsilon });
      const { lossSum } = new ReferenceProgram(program).run(input);
      const pixels = inputPixels(model, input);
      const wanted = runNaively(model, input.weights, pixels, input.labels, { epsilon, mode }).lossSum;
      return Math.abs(lossSum - wanted) <= 1e-11 * (1 + wanted);
    }),
    300,
  );
  t.pass();
});

test('any graph: gradients are the derivatives of the loss', (t) => {
  assertProperty(
    fc.property(randomModels, sizes, seeds, (model, n, seed) => {
      const program = compileProgram(model, 'train', n, { batchNormEpsilon: epsilon });
      checkProgramGradients(program, randomInput(model, n, seed), 1, seed);
      return true;
    }),
    150,
  );
  t.pass();
});

test('any graph: float32 is near float64, has the same bits in both widths, and garbage does not matter', (t) => {
  assertProperty(
    fc.property(randomModels, sizes, seeds, (model, n, seed) => {
      const input = randomInput(model, n, seed);
      const program = compileProgram(model, 'train', n, { batchNormEpsilon: epsilon });
      const wanted = new ReferenceProgram(program).run(input).lossSum;
      const words = buildNames.map((build) => {
        spoil(program, build, 'prepared');
        const first = runProgram(program, build, input);
        if (!(Math.abs(first.lossSum - wanted) <= 1e-4 * (1 + wanted))) {
          throw new Error(`${build}: loss ${first.lossSum}, in float64 ${wanted}`);
        }
        const second = resultWords(runProgram(program, build, input));
        sameWords(resultWords(first), second, `${build} over garbage`);
        return second;
      });
      sameBits(words, buildNames);
      return true;
    }),
    100,
  );
  t.pass();
});
