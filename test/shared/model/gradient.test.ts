/** Compiled programs in float64: the loss is the model's, the gradients are the loss's. */
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import test from 'ava';
import { runNaively } from '../../helpers/naive-network.ts';
import { checkProgramGradients } from '../../helpers/program-gradient.ts';
import { inputPixels, randomInput, ReferenceProgram } from '../../helpers/reference-program.ts';
import { unusualModels, zooModels } from '../../helpers/test-models.ts';

const epsilon = 1e-5;

for (const model of [...zooModels, ...unusualModels]) {
  const shardSize = model.name === 'lenet5' ? 2 : 3;
  const input = randomInput(model, shardSize, 5);

  for (const mode of ['train', 'evaluate'] as const) {
    test(`${model.name}: the program to ${mode} gives the loss of the model`, (t) => {
      const program = compileProgram(model, mode, shardSize, { batchNormEpsilon: epsilon });
      const found = new ReferenceProgram(program).run(input);
      const pixels = inputPixels(model, input);
      const wanted = runNaively(model, input.weights, pixels, input.labels, { epsilon, mode });
      t.true(Math.abs(found.lossSum - wanted.lossSum) < 1e-11 * wanted.lossSum, `${found.lossSum}`);
      t.is(found.correct, wanted.correct);
    });
  }

  test(`${model.name}: gradients are the loss's derivatives`, (t) => {
    const program = compileProgram(model, 'train', shardSize, { batchNormEpsilon: epsilon });
    t.notThrows(() => checkProgramGradients(program, input, 2));
  });
}
