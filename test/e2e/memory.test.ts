/** The memory that `lockstep plan` states is the memory that a run takes. */

import { join } from 'node:path';
import { openSession } from '@lockstep/coordinator/session.ts';
import { parseRecipe, type RecipeInput } from '@lockstep/shared/recipe.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { lockstep } from '../helpers/command-line.ts';
import { peakMemory } from '../helpers/peak-memory.ts';
import { bare } from '../helpers/training-process.ts';

interface Plan {
  readonly arenaBytes: number;
  readonly packedBytes: number;
  readonly storeBytes: number;
  readonly datasetBytes: number;
  readonly totalBytes: number;
}

const threads = 2;

/** Bytes by which heaps of two runs may differ: garbage that nobody has collected yet, compiled programs. */
const slack = 64 * 2 ** 20;

/** What PyTorch has resident at most for the same step, in its most frugal layout: see docs/log.md. */
const pytorchBytes = 1.1 * 2 ** 30;

async function planOf(model: string, flags: readonly string[]): Promise<Plan> {
  const args = ['plan', model, ...flags, '--threads', `${threads}`, '--no-measure', '--json'];
  const { code, stderr, objects } = await lockstep(args);
  if (code !== 0) throw new Error(stderr);
  return objects().at(-1) as unknown as Plan;
}

/** Memory that a run has resident at most, and what it said at its start. */
async function runOf(
  model: string,
  flags: readonly string[],
): Promise<{ start: Record<string, unknown>; peakBytes: number | null }> {
  return withFolder(async (folder) => {
    const args = ['train', '--model', model, ...flags, '--threads', `${threads}`, '--json'];
    const { ended, peakBytes } = await peakMemory([...args, ...bare, '--out', join(folder, 'run')]);
    const start = ended.objects().find(({ type }) => type === 'start');
    if (ended.code !== 0 || start === undefined) throw new Error(ended.stderr);
    return { start, peakBytes };
  });
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

const recipes: [title: string, recipe: RecipeInput, flags: readonly string[]][] = [
  ['batch-norm', { model: 'resnet8' }, []],
  ['uneven shards', { model: 'resnet8', batchSize: 100, shardsPerStep: 7 }, ['100', '7', 'adam']],
  ['one vector of state', { model: 'lenet5', batchSize: 64, optimizer: 'sgd' }, ['64', '8', 'sgd']],
];

for (const [title, given, [batch = '128', shards = '8', optimizer = 'adam']] of recipes) {
  test.serial(`plan, the start of a run and its ranks state the same memory: ${title}`, async (t) => {
    const recipe = parseRecipe({ ...given, dataset: 'synthetic' });
    const flags = ['--dataset', 'synthetic', '--batch-size', batch, '--shards', shards].concat([
      '--optimizer',
      optimizer,
    ]);
    const plan = await planOf(recipe.model, flags);
    const { start } = await runOf(recipe.model, [...flags, '--steps', '1']);
    t.is(start['arenaBytes'], plan.arenaBytes);
    t.is(start['packedBytes'], plan.packedBytes);
    t.is(start['storeBytes'], plan.storeBytes);
    const once = plan.packedBytes + plan.storeBytes + plan.datasetBytes;
    t.is(plan.totalBytes, threads * plan.arenaBytes + once);

    const dataset = await openDataset('synthetic');
    const images = [dataset.train, dataset.test].flatMap((split) => [split.images, split.labels]);
    t.is(
      images.reduce((sum, { byteLength }) => sum + byteLength, 0),
      plan.datasetBytes,
    );
    const session = await openSession({ recipe, dataset, threads });
    t.teardown(() => session.close());
    const ranks = await session.pool.describe();
    t.deepEqual(
      ranks.map(({ arenaBytes }) => arenaBytes),
      [plan.arenaBytes, plan.arenaBytes],
    );
    // A memory has whole pages of 64 KiB.
    const held = session.truth.store.arena.bytes.byteLength;
    t.is(held, Math.ceil(plan.storeBytes / 65536) * 65536);
  });
}

test.serial(
  'ResNet-18, batch 128, two threads: the plan holds for the whole process, which needs less than PyTorch',
  async (t) => {
    t.timeout(20 * 60_000);
    // Hardly any arena or store: what is resident then is Node, its threads and the compiled kernels.
    const smallFlags = ['--dataset', 'synthetic', '--batch-size', '8', '--steps', '2'];
    const small = await runOf('softmax-regression', smallFlags);
    const flags = ['--dataset', 'synthetic', '--batch-size', '128'];
    const plan = await planOf('resnet18', flags);
    const { start, peakBytes } = await runOf('resnet18', [...flags, '--steps', '2']);
    t.is(start['arenaBytes'], plan.arenaBytes);
    if (peakBytes === null || small.peakBytes === null) {
      return t.log('The peak of a process is read from /proc, which this system has not.');
    }
    const allowance = small.peakBytes + slack;
    t.log(`${mebibytes(plan.totalBytes)} planned, ${mebibytes(peakBytes)} resident at most`);
    t.log(`${mebibytes(small.peakBytes)} of a run without a model worth mentioning`);
    t.true(peakBytes < plan.totalBytes + allowance, `${peakBytes} bytes`);
    // A plan that states much more than what is used would refuse runs that fit.
    t.true(peakBytes > 0.9 * plan.totalBytes, `${peakBytes} bytes`);
    t.true(peakBytes < pytorchBytes, `${peakBytes} bytes`);
  },
);
