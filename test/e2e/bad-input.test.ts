/** What a user gets wrong on the command line: real processes, exit codes, what is said. */

import { copyFile, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { writeCheckpoint } from '@lockstep/coordinator/checkpoint/writer.ts';
import test from 'ava';
import { sampleCheckpoint, withFolder } from '../helpers/checkpoint-sample.ts';
import { binary, lockstep } from '../helpers/command-line.ts';

const wrong: [args: string[], code: string, says: RegExp][] = [
  [['trian'], 'UNKNOWN_COMMAND', /Did you mean train\?/],
  [['train', '--batchsize', '3'], 'USAGE', /Did you mean --batch-size\?/],
  [['train', '--threads', '0'], 'USAGE', /from 1 to 256/],
  [['train', '--threads', 'two'], 'USAGE', /from 1 to 256/],
  [['train', '--keep', '0'], 'USAGE', /from 1/],
  [['train', '--checkpoint-seconds', '-1'], 'USAGE', /seconds above 0/],
  [['train', 'a.json', 'b.json'], 'USAGE', /Too many arguments/],
  [['train', 'none.json'], 'RECIPE_UNREADABLE', /none\.json: there is no such file/],
  [['train', '--lr', 'NaN'], 'RECIPE_INVALID', /'lr' is the text 'NaN'/],
  [['train', '--lr', 'Infinity'], 'RECIPE_INVALID', /'lr'/],
  [['train', '--lr', '-0.1'], 'RECIPE_INVALID', /'lr' is -0\.1.*above 0/],
  [['train', '--lr', 'fast'], 'RECIPE_INVALID', /the text 'fast'/],
  [['train', '--seed', '1.5'], 'RECIPE_INVALID', /integer/],
  [['train', '--steps', '0'], 'RECIPE_INVALID', /from 1/],
  [['train', '--optimizer', 'adan'], 'RECIPE_INVALID', /'adam', 'adamw', 'sgd'/],
  [['train', '--batch-norm', 'all'], 'RECIPE_INVALID', /'shard', 'sync'/],
  [['train', '--wire-dtype', 'fp16'], 'RECIPE_INVALID', /'f32', 'bf16', 'f16'/],
  [['train', '--batch-size', '4'], 'BATCH_TOO_SMALL', /8 shards/],
  [['train', '--shards-per-step', '200'], 'BATCH_TOO_SMALL', /200 shards/],
  [['train', '--model', 'resnet21'], 'MODEL_UNKNOWN', /no model 'resnet21'.*Did you mean 'resnet20'\?/],
  [['train', '--model', 'transformer'], 'MODEL_UNKNOWN', /The models are: .*lenet5.*resnet20/],
  [['bench', '--model', 'lenet'], 'MODEL_UNKNOWN', /Did you mean 'lenet5'\?/],
  [['plan', 'lenet'], 'MODEL_UNKNOWN', /Did you mean 'lenet5'\?/],
  [['train', '--dataset', 'cifar11'], 'DATASET_UNKNOWN', /cifar10/],
  [['data', 'cifar11'], 'DATASET_UNKNOWN', /cifar10/],
  [['data'], 'USAGE', /name/],
  [['evaluate'], 'USAGE', /checkpoint/],
];

for (const [args, code, says] of wrong) {
  test.serial(`lockstep ${args.join(' ')}: ${code}, exit code 2`, (t) =>
    withFolder(async (folder) => {
      const { code: exit, stderr, objects } = await lockstep([...args, '--json'], { cwd: folder });
      t.is(exit, 2);
      t.true(stderr.includes(`error ${code}: `), stderr);
      t.is(stderr.match(/^error /gm)?.length, 1, stderr);
      t.regex(stderr, says);
      t.notRegex(stderr, /\n {4}at /);
      const last = objects().at(-1);
      t.like(last, { type: 'error', code });
      t.truthy(last?.['advice']);
      // Not even the folder of the run.
      t.deepEqual(await readdir(folder), []);
    }),
  );
}

test.serial('a recipe file: broken JSON, unknown key and bad value are named with exit code 2', (t) =>
  withFolder(async (folder) => {
    const file = join(folder, 'recipe.json');
    for (const [text, says] of [
      ['{"lr": 0.1,,}', /RECIPE_UNREADABLE.*line 1, column 12/],
      ['{"learning_rate": 0.1}', /RECIPE_UNKNOWN_KEY.*Did you mean 'lr'\?/],
      ['{"lr": "0.1"}', /RECIPE_INVALID.*the text '0\.1'/],
      ['{"lr": NaN}', /RECIPE_UNREADABLE.*line 1, column 8/],
      ['{"lr": 1e999}', /RECIPE_INVALID.*'lr' is Infinity/],
      ['{"batchSize": 4}', /BATCH_TOO_SMALL.*4 cannot fill 8 shards/],
      ['{"model": "resnet21"}', /MODEL_UNKNOWN.*Did you mean 'resnet20'\?/],
    ] as const) {
      await writeFile(file, text);
      const { code, stdout, stderr } = await lockstep(['train', file]);
      t.is(code, 2);
      t.is(stdout, '');
      t.regex(stderr, says);
    }
  }),
);

test.serial('resume: missing, damaged, other recipe, and a recipe in the place of a checkpoint', (t) =>
  withFolder(async (folder) => {
    const run = join(folder, 'run');
    const whole = await writeCheckpoint(run, sampleCheckpoint(10), { keep: 3 });
    const damaged = await writeCheckpoint(run, sampleCheckpoint(20), { keep: 3 });
    await truncate(join(damaged, 'weights.f32'), 8);
    const recipe = join(folder, 'recipe.json');
    await writeFile(recipe, '{}');
    const cases = [
      [['--resume', join(run, 'checkpoint-00000099')], 1, 'CHECKPOINT_MISSING', whole],
      [['--resume', damaged], 1, 'CHECKPOINT_CORRUPT', whole],
      [['--resume', whole, '--lr', '0.5'], 2, 'RECIPE_MISMATCH', 'lr 0.001, but the recipe now says 0.5'],
      [['--resume', whole, '--steps', '9'], 2, 'RECIPE_MISMATCH', 'already at step 10'],
      [['--resume', recipe], 2, 'USAGE', 'Write the recipe first'],
    ] as const;
    for (const [args, exit, code, says] of cases) {
      const { code: found, stderr } = await lockstep(['train', ...args]);
      t.is(found, exit, stderr);
      t.true(stderr.includes(`error ${code}: `) && stderr.includes(says), stderr);
    }
  }),
);

test.serial('a run folder that cannot be made is named before anything is computed', (t) =>
  withFolder(async (folder) => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const { code, stderr } = await lockstep(['train', '--dataset', 'synthetic', '--out', join(file, 'run')]);
    t.is(code, 1);
    t.regex(stderr, /^error FILE_UNWRITABLE: Cannot write .*file.run \(ENOTDIR\)/);
  }),
);

test.serial('no command: the help and exit code 2', async (t) => {
  const { code, stderr } = await lockstep([]);
  t.is(code, 2);
  t.regex(stderr, /Usage: lockstep[^]*No command was given/);
});

test.serial('help and version end with 0 and say nothing on standard error', async (t) => {
  for (const args of [['--help'], ['train', '--help'], ['--version']]) {
    const { code, stdout, stderr } = await lockstep(args);
    t.is(code, 0);
    t.is(stderr, '');
    t.true(stdout.length > 4);
  }
  t.regex((await lockstep(['train', '--help'])).stdout, /--batch-size[^]*--shards[^]*--weight-decay/);
});

/** Runs a copy of the launcher that takes this Node for one that is too old. */
async function outdated(folder: string, args: string[]): Promise<{ code: number | null; output: string }> {
  const text = await readFile(binary, 'utf8');
  await mkdir(join(folder, 'bin'), { recursive: true });
  await copyFile(join(binary, '..', '..', 'package.json'), join(folder, 'package.json'));
  await writeFile(join(folder, 'bin', 'lockstep.js'), text.replace('[22, 20]', '[99, 0]'));
  const child = spawn(process.execPath, [join(folder, 'bin', 'lockstep.js'), ...args]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}

test.serial('a Node that is too old, with no other at hand: both versions and what to do', (t) =>
  withFolder(async (folder) => {
    const { code, output } = await outdated(folder, ['--version', '--json']);
    t.is(code, 1);
    t.true(output.includes(`This is Node ${process.versions.node}, Lockstep needs 99.0 or later`), output);
    t.true(output.includes('"code":"NODE_TOO_OLD"'));
  }),
);
