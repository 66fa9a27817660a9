/** Data, checkpoints and sizes that are wrong: one clear error each, and nothing half-written. Real processes. */

import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { modelFor } from '@lockstep/worker/rank/run-shape.ts';
import test, { type ExecutionContext } from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { type Ended, lockstep } from '../helpers/command-line.ts';
import { peakMemory } from '../helpers/peak-memory.ts';
import { bare, requireDataset, trainResult } from '../helpers/training-process.ts';
import { damagedCopy, offlineEnvironment } from '../helpers/unwell-cache.ts';

/** One error and nothing else: on standard error, and as the last object on standard output. */
function failed(t: ExecutionContext, ended: Ended, exit: number, code: string, says: RegExp): void {
  t.is(ended.code, exit, ended.stderr);
  t.is(ended.stderr.match(/^error /gm)?.length, 1, ended.stderr);
  t.true(ended.stderr.startsWith(`error ${code}: `), ended.stderr);
  t.regex(ended.stderr, says);
  t.notRegex(ended.stderr, /\n {4}at /);
  const errors = ended.objects().filter(({ type }) => type === 'error');
  t.is(errors.length, 1);
  t.is(ended.objects().at(-1)?.['code'], code);
}

/** Every file below a folder. */
async function filesIn(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return found.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
}

test.serial('missing data without a network: DATA_OFFLINE or DATA_MISSING, and no trace', (t) =>
  withFolder(async (folder) => {
    const env = await offlineEnvironment(folder);
    const cwd = join(folder, 'programs');
    const commands = [
      ['train', '--dataset', 'cifar10'],
      ['train', '--dataset', 'cifar10', '--out', join(folder, 'deep', 'run')],
      ['bench', '--dataset', 'mnist', '--model', 'lenet5'],
      ['data', 'cifar10'],
    ];
    for (const command of commands) {
      const ended = await lockstep([...command, '--json'], { env, cwd });
      failed(t, ended, 1, 'DATA_OFFLINE', /ENOTFOUND.*npm config get registry.*--from PATH/);
    }
    for (const command of ['train', 'data']) {
      const args = command === 'train' ? ['train', '--dataset', 'cifar100'] : ['data', 'cifar100'];
      const ended = await lockstep([...args, '--json'], { env, cwd });
      failed(t, ended, 1, 'DATA_MISSING', /lockstep data cifar100 --from PATH/);
    }
    t.deepEqual(await filesIn(join(folder, 'cache')), []);
    // The folders that runs would have had are gone again, with those above them.
    t.deepEqual(await readdir(cwd), ['npm']);
    t.deepEqual((await readdir(folder)).toSorted(), ['cache', 'programs']);
  }),
);

test.serial('a corrupt data file is named, with what was expected and how to get it anew', (t) =>
  withFolder(async (folder) => {
    await requireDataset('mnist');
    const labels = 't10k-labels-idx1-ubyte';
    const damages: [name: string, change: (bytes: Buffer) => Uint8Array, says: RegExp][] = [
      [
        'one label is another digit',
        (bytes) => bytes.map((byte, at) => (at === 77 ? (byte + 1) % 10 : byte)),
        /SHA-256 expected [0-9a-f]{64}, found [0-9a-f]{64}/,
      ],
      ['cut short', (bytes) => bytes.subarray(0, 5000), /bytes expected 10008, found 5000/],
      ['empty', () => new Uint8Array(), /bytes expected 10008, found 0/],
    ];
    for (const [name, change, says] of damages) {
      const env = { ...(await offlineEnvironment(folder)), LOCKSTEP_CACHE: join(folder, name) };
      const file = await damagedCopy(env.LOCKSTEP_CACHE, 'mnist', labels, change);
      const out = join(folder, 'run');
      const args = ['train', '--model', 'lenet5', '--dataset', 'mnist', '--out', out, '--json'];
      const ended = await lockstep(args, { env });
      failed(t, ended, 1, 'DATA_CORRUPT', says);
      t.true(ended.stderr.includes(labels) && ended.stderr.includes('lockstep data mnist'), ended.stderr);
      t.false((await readdir(folder)).includes('run'));
      // Fetching it anew fails here; what is in the cache stays as it was.
      const before = await readFile(file);
      failed(t, await lockstep(['data', 'mnist', '--json'], { env }), 1, 'DATA_OFFLINE', /ENOTFOUND/);
      t.deepEqual(await readFile(file), before);
    }
  }),
);

test.serial(
  'a corrupt checkpoint is refused by resume and evaluate, and the newest whole one is offered',
  (t) =>
    withFolder(async (folder) => {
      const run = join(folder, 'run');
      const recipe = ['--model', 'lenet5', '--dataset', 'synthetic'];
      await trainResult([...recipe, ...bare, '--steps', '4', '--checkpoint-every', '2', '--out', run]);
      const [first, last] = ['checkpoint-00000002', 'checkpoint-00000004'].map((name) => join(run, name));
      const weights = await readFile(join(`${last}`, 'weights.f32'));
      const damages: [file: string, change: (file: string) => Promise<void>][] = [
        [
          'weights.f32',
          (file) =>
            writeFile(
              file,
              weights.map((byte, at) => (at === 4321 ? byte ^ 1 : byte)),
            ),
        ],
        ['weights.f32', (file) => truncate(file, 4320)],
        ['manifest.json', (file) => truncate(file, 100)],
      ];
      for (const [file, change] of damages) {
        const whole = await readFile(join(`${last}`, file));
        await change(join(`${last}`, file));
        for (const args of [
          ['train', '--resume', `${last}`],
          ['evaluate', `${last}`],
        ]) {
          const ended = await lockstep([...args, '--json']);
          failed(t, ended, 1, 'CHECKPOINT_CORRUPT', new RegExp(file.replace('.', '\\.')));
          t.true(ended.stderr.includes(`${first}`), ended.stderr);
        }
        await writeFile(join(`${last}`, file), whole);
      }
      t.deepEqual((await readdir(run)).toSorted(), ['checkpoint-00000002', 'checkpoint-00000004']);
    }),
);

test.serial('a run that diverges ends in STEP_NOT_FINITE, with its checkpoints whole', (t) =>
  withFolder(async (folder) => {
    const run = join(folder, 'run');
    const recipe = ['--model', 'mlp', '--dataset', 'synthetic', '--optimizer', 'sgd', '--lr', '1000'];
    const flags = ['--steps', '200', '--checkpoint-every', '1', '--keep', '300', '--threads', '2', ...bare];
    const ended = await lockstep(['train', ...recipe, ...flags, '--out', run, '--json']);
    failed(t, ended, 1, 'STEP_NOT_FINITE', /Lower the learning rate/);
    const steps = ended.objects().filter(({ type }) => type === 'step').length;
    const names = await readdir(run);
    t.is(names.length, steps);
    t.true(names.every((name) => name.startsWith('checkpoint-')));
  }),
);

test.serial('what does not fit into 4 GiB is refused with the figure: at once, unallocated, unfetched', (t) =>
  withFolder(async (folder) => {
    const env = await offlineEnvironment(folder);
    const arena = ['--model', 'resnet18', '--batch-size', '65536', '--shards', '1'];
    const cases: [args: readonly string[], says: RegExp][] = [
      [['train', ...arena, '--dataset', 'cifar10', '--out', join(folder, 'run')], /shards of 50000 images/],
      [
        ['plan', 'resnet18', ...arena.slice(2)],
        /needs an arena of about \d+\.\d+ GiB; WebAssembly ends at 4 GiB/,
      ],
      [
        [
          'train',
          '--model',
          'resnet18',
          '--dataset',
          'synthetic',
          '--batch-size',
          '512',
          '--shards',
          '512',
        ].concat(['--out', join(folder, 'run')]),
        /512 shards.* need a store of 1\d\.\d+ GiB.*Take fewer shardsPerStep/,
      ],
    ];
    for (const [args, says] of cases) {
      const { ended, peakBytes } = await peakMemory([...args, '--json'], { env });
      failed(t, ended, 2, 'ARENA_TOO_LARGE', says);
      if (peakBytes !== null) t.true(peakBytes < 2 ** 29, `${peakBytes} bytes`);
    }
    t.deepEqual((await readdir(folder)).toSorted(), ['programs']);
  }),
);

test('images that are too small for a model: the layer and both shapes', (t) => {
  const classes = ['a', 'b'];
  const tiny = { height: 4, width: 4, channels: 1, classes };
  const error = t.throws(() => modelFor({ model: 'lenet5', shortcut: 'A' }, tiny), {
    instanceOf: LockstepError,
    code: 'MODEL_INVALID',
  });
  t.is(error.exitCode, 2);
  t.regex(error.message, /Layer 'conv2' of model 'lenet5' gives -?\d+x-?\d+x16 from 2x2x6\..+data set/);
});
