/** The recipes in `examples/` learn what their README promises. Real data, real runs: the longest tests there are. */

import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import test, { type ExecutionContext } from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { repositoryRoot } from '../helpers/command-line.ts';
import { requireDataset, trainResult } from '../helpers/training-process.ts';

const examples = join(repositoryRoot, 'examples');

/** Trains an example to its end and compares its test accuracy. */
async function learns(t: ExecutionContext, example: string, dataset: string, above: number): Promise<void> {
  // Minutes on two cores; a slow or busy machine may take its time.
  t.timeout(60 * 60_000);
  await requireDataset(dataset);
  await withFolder(async (folder) => {
    const args = [join(examples, example), '--no-baseline', '--out', join(folder, 'run')];
    const { testAccuracy, seconds, imagesPerSecond } = await trainResult(args);
    t.log(`${testAccuracy} after ${seconds.toFixed(0)} s, ${imagesPerSecond?.toFixed(0)} images/s`);
    t.true(testAccuracy !== null && testAccuracy > above, `${testAccuracy} is not above ${above}`);
  });
}

test.serial('softmax regression on MNIST: above 91.5 %', (t) =>
  learns(t, 'softmax-mnist.json', 'mnist', 0.915),
);

test.serial('LeNet-5 on MNIST, three epochs: above 98.5 %', (t) =>
  learns(t, 'lenet5-mnist.json', 'mnist', 0.985),
);

test.serial('the main job, one epoch of ResNet-20 on CIFAR-10: above 45 %', (t) =>
  learns(t, 'resnet20-cifar10.json', 'cifar10', 0.45),
);

test('every example is a recipe, and that of the main job is what `lockstep train` does without one', async (t) => {
  const read = async (name: string) => parseRecipe(JSON.parse(await readFile(join(examples, name), 'utf8')));
  const names = (await readdir(examples)).filter((name) => name.endsWith('.json'));
  for (const name of names) await t.notThrowsAsync(read(name), name);
  t.is((await read('lenet5-mnist.json')).epochs, 3);
  t.deepEqual(await read('resnet20-cifar10.json'), parseRecipe({}));
});
