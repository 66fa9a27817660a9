/** The promise of the project: the weights depend on the recipe, never on who computed them. Real processes. */

import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { endless } from '../helpers/cluster.ts';
import { bare, requireDataset, savedSteps, trainResult, trainUntil } from '../helpers/training-process.ts';

/** The hash after a run with so many threads. */
async function hashOf(
  folder: string,
  args: readonly string[],
  threads: number,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const out = join(folder, `threads-${threads}`);
  const flags = [...args, '--threads', String(threads), '--out', out];
  return (await trainResult(flags, { env })).weightsSha256;
}

test.serial('ResNet-20 on CIFAR-10, 20 steps: 1, 2 and 3 threads, and a run killed in the middle', (t) =>
  withFolder(async (folder) => {
    t.timeout(20 * 60_000);
    await requireDataset('cifar10');
    const main = ['--model', 'resnet20', '--dataset', 'cifar10', '--steps', '20', '--seed', '1'];
    const expected = await hashOf(folder, [...main, ...bare], 1);
    t.is(await hashOf(folder, [...main, ...bare], 3), expected);

    // With everything on: neither the evaluation nor the baseline may touch what is trained.
    const whole = await trainResult([...main, '--threads', '2', '--out', join(folder, 'whole')]);
    t.is(whole.weightsSha256, expected);
    t.true(whole.testAccuracy !== null && whole.speedup !== null);

    const out = join(folder, 'killed');
    const run = [...main, ...bare, '--out', out, '--checkpoint-every', '5'];
    const { child, ended } = await trainUntil([...run, ...endless, '--threads', '2'], 8);
    child.kill('SIGKILL');
    t.is(await ended, null);
    t.is(child.signalCode, 'SIGKILL');
    // On a machine that let this process stand still it may have come further than the others went.
    const last = Math.max(20, (await savedSteps(out)) + 2);
    const length = ['--steps', String(last)];
    const resumed = await trainResult([...run, ...length, '--threads', '3', '--resume']);
    const wanted = last === 20 ? expected : await hashOf(folder, [...main, ...length, ...bare], 2);
    t.is(resumed.weightsSha256, wanted);
    t.is(resumed.steps, last);
    t.is(resumed.samples, last * 128);
  }),
);

const resnet8 = ['--model', 'resnet8', '--dataset', 'synthetic', '--steps', '6'];
const lenet5 = ['--model', 'lenet5', '--dataset', 'synthetic-mnist', '--steps', '8'];

/** Cheap runs that differ in one thing each; `threads` are compared with one thread. */
const variants: { title: string; args: readonly string[]; threads: readonly number[] }[] = [
  { title: 'uneven shards', args: [...resnet8, '--batch-size', '100', '--shards', '7'], threads: [2, 3] },
  {
    // 2048 images are eight batches of 255 and one of 8: four of its twelve shards are empty.
    title: 'a last batch that leaves shards empty, and the epoch after it',
    args: ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '255', '--shards', '12'].concat([
      '--steps',
      '11',
    ]),
    threads: [2],
  },
  { title: 'more threads than shards', args: [...lenet5, '--shards', '2'], threads: [3] },
  { title: 'shortcut B', args: [...resnet8, '--shortcut', 'B'], threads: [2] },
  { title: 'direct convolutions', args: [...resnet8, '--convolution', 'direct'], threads: [2] },
  { title: 'mul-add', args: [...resnet8, '--arithmetic', 'mul-add'], threads: [2] },
  { title: 'crop and flip', args: [...resnet8, '--augmentation', 'crop-flip'], threads: [2] },
  { title: 'LeNet-5 with Adam', args: lenet5, threads: [2] },
  {
    title: 'AdamW, cosine, warm-up',
    args: [...lenet5, '--optimizer', 'adamw', '--schedule', 'cosine', '--warmup-steps', '3'],
    threads: [2],
  },
  {
    title: 'SGD with Nesterov momentum, step schedule',
    args: [...lenet5, '--optimizer', 'sgd', '--lr', '0.01', '--nesterov', '--schedule', 'step'],
    threads: [2],
  },
];

for (const { title, args, threads } of variants) {
  test.serial(`${title}: one thread and ${threads.join(', ')} give the same bits`, (t) =>
    withFolder(async (folder) => {
      const expected = await hashOf(folder, [...args, ...bare], 1);
      for (const count of threads) {
        t.is(await hashOf(folder, [...args, ...bare], count), expected, `${count} threads`);
      }
    }),
  );
}

test.serial('128-bit and 256-bit kernels give the same bits', (t) =>
  withFolder(async (folder) => {
    const narrow = await hashOf(folder, [...resnet8, ...bare], 2, { LOCKSTEP_KERNELS: 'narrow' });
    t.is(await hashOf(folder, [...resnet8, ...bare], 2, { LOCKSTEP_KERNELS: 'wide' }), narrow);
  }),
);

test.serial('what a recipe says shows in the bits: seed, shards, arithmetic, algorithm', (t) =>
  withFolder(async (folder) => {
    const lenet5Flags = [[], ['--seed', '2'], ['--shards', '4'], ['--arithmetic', 'mul-add']];
    const resnet8Flags = [[], ['--convolution', 'direct'], ['--shortcut', 'B']];
    const runs = lenet5Flags
      .map((flags) => [...lenet5, ...flags])
      .concat(resnet8Flags.map((flags) => [...resnet8, ...flags]));
    const hashes = new Set<string>();
    for (const args of runs) hashes.add(await hashOf(folder, [...args, ...bare], 2));
    t.is(hashes.size, runs.length);
  }),
);
