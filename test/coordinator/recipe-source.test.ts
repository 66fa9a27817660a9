import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flagValues, gatherRecipe } from '@lockstep/coordinator/recipe-source.ts';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import test from 'ava';
import fc from 'fast-check';
import { withFolder } from '../helpers/checkpoint-sample.ts';

test('flags beat the file, the file beats the defaults', (t) =>
  withFolder(async (folder) => {
    const file = join(folder, 'recipe.json');
    await writeFile(file, '\uFEFF{"lr": 0.5, "epochs": 3}');
    const recipe = parseRecipe(await gatherRecipe(file, { epochs: '7', nesterov: undefined }));
    t.like(recipe, { lr: 0.5, epochs: 7, batchSize: 128 });
  }));

test('flags are numbers only when they look like decimal ones', (t) => {
  const values = flagValues({
    lr: '1e-3',
    seed: '0x10',
    epochs: ' 5',
    batchSize: '',
    steps: 'null',
    model: '3',
  });
  t.deepEqual(values, { model: '3', seed: '0x10', epochs: ' 5', steps: null, batchSize: '', lr: 0.001 });
});

test('every finite number survives the way over a flag', (t) => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      return Object.is(flagValues({ lr: String(value) })['lr'], value === 0 ? 0 : value);
    }),
    { verbose: true },
  );
  t.pass();
});

const broken: Record<string, [text: string, line: number, column: number]> = {
  'a missing comma': ['{"lr": 0.1\n "seed": 2}', 2, 2],
  'a trailing comma': ['{"lr": 0.1,\n}', 2, 1],
  'a bad token': ['{\n  "epochs": 3,\n  "lr": NaN\n}', 3, 9],
  'an early end': ['{"lr": 0.1', 1, 11],
  'an open text': ['{"model": "x', 1, 13],
  nothing: ['', 1, 1],
};

for (const [what, [text, line, column]] of Object.entries(broken)) {
  test(`broken JSON (${what}) is refused with its place`, (t) =>
    withFolder(async (folder) => {
      const file = join(folder, 'recipe.json');
      await writeFile(file, text);
      const error = await t.throwsAsync(gatherRecipe(file, {}), { instanceOf: LockstepError });
      t.is(error.code, 'RECIPE_UNREADABLE');
      t.true(error.message.includes(`line ${line}, column ${column}:`), error.message);
      t.true(error.message.includes(file));
    }));
}

test('a missing file, a folder and a file without an object are refused', (t) =>
  withFolder(async (folder) => {
    const list = join(folder, 'list.json');
    await writeFile(list, '[]');
    for (const [path, why] of [
      [join(folder, 'none.json'), 'there is no such file'],
      [folder, 'it is a folder'],
      [list, 'it holds no JSON object'],
    ] as const) {
      const error = await t.throwsAsync(gatherRecipe(path, {}), { instanceOf: LockstepError });
      t.is(error.code, 'RECIPE_UNREADABLE');
      t.true(error.message.includes(why), error.message);
    }
  }));
