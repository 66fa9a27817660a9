/** With `--json`, standard output carries one object a line and nothing else; the last one is the result. */

import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { lockstep } from '../helpers/command-line.ts';
import { requireDataset } from '../helpers/training-process.ts';

/** What a field must be: a type, or `null` beside it. `count` is an integer from 0. */
type Kind =
  | 'count'
  | 'number'
  | 'text'
  | 'sha256'
  | 'list'
  | 'record'
  | 'flag'
  | 'number or null'
  | 'text or null';

const checks: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  count: (value) => Number.isInteger(value) && (value as number) >= 0,
  number: (value) => typeof value === 'number' && Number.isFinite(value),
  text: (value) => typeof value === 'string' && value !== '',
  sha256: (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
  list: (value) => Array.isArray(value) && value.length > 0,
  record: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  flag: (value) => typeof value === 'boolean',
  'number or null': (value) => value === null || checks.number(value),
  'text or null': (value) => value === null || checks.text(value),
};

type Objects = Record<string, unknown>[];

/** The object that a line holds; null when it holds anything else. */
function asObject(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

/** Runs a command and checks every line of what it writes. */
async function spoken(t: ExecutionContext, args: readonly string[]): Promise<Objects> {
  const { code, stdout, stderr } = await lockstep([...args, '--json']);
  t.is(code, 0, stderr);
  t.is(stderr, '');
  t.true(stdout.endsWith('\n'));
  const objects: Objects = [];
  for (const line of stdout.slice(0, -1).split('\n')) {
    const object = asObject(line);
    t.true(checks.text(object?.['type']), `no object with a type: ${line.slice(0, 200)}`);
    if (object !== null) objects.push(object);
  }
  const types = objects.map((object) => object['type']);
  t.is(types.at(-1), 'result');
  t.is(types.indexOf('result'), types.length - 1);
  return objects;
}

/** The last object holds these fields, and each is what it should be. */
function holds(t: ExecutionContext, objects: Objects, fields: Readonly<Record<string, Kind>>): void {
  const result = objects.at(-1) ?? {};
  for (const [name, kind] of Object.entries(fields)) {
    t.true(checks[kind](result[name]), `${name} is ${JSON.stringify(result[name])}, and not a ${kind}`);
  }
}

const typesOf = (objects: Objects): string[] => [...new Set(objects.map((object) => String(object['type'])))];

const recipe = ['--model', 'resnet8', '--dataset', 'synthetic'];

test.serial('train, then evaluate', (t) =>
  withFolder(async (folder) => {
    const run = join(folder, 'run');
    const length = ['--steps', '4', '--checkpoint-every', '2', '--threads', '2'];
    const trained = await spoken(t, ['train', ...recipe, ...length, '--out', run]);
    holds(t, trained, {
      steps: 'count',
      epochs: 'number',
      samples: 'count',
      loss: 'number',
      trainAccuracy: 'number',
      testAccuracy: 'number',
      imagesPerSecond: 'number',
      weightsSha256: 'sha256',
      recipeSha256: 'sha256',
      threads: 'count',
      nodes: 'count',
      seconds: 'number',
      checkpoint: 'text',
      baselineImagesPerSecond: 'number',
      speedup: 'number',
      interrupted: 'flag',
    });
    t.like(trained.at(-1), { steps: 4, epochs: 0.25, samples: 512, threads: 2, nodes: 1 });
    const types = typesOf(trained);
    for (const type of ['start', 'step', 'checkpoint', 'evaluation-progress', 'evaluation', 'baseline']) {
      t.true(types.includes(type), type);
    }
    const steps = trained.filter((object) => object['type'] === 'step').map((object) => object['step']);
    t.deepEqual(steps, [1, 2, 3, 4]);

    const evaluated = await spoken(t, ['evaluate', run, '--threads', '2']);
    holds(t, evaluated, {
      checkpoint: 'text',
      dataset: 'text',
      samples: 'count',
      loss: 'number',
      accuracy: 'number',
      confusion: 'list',
      classes: 'list',
      weightsSha256: 'sha256',
      seconds: 'number',
    });
    t.is(evaluated.at(-1)?.['weightsSha256'], trained.at(-1)?.['weightsSha256']);

    const bare = ['--no-evaluate', '--no-baseline', '--steps', '1'];
    const quiet = await spoken(t, ['train', ...recipe, ...bare, '--out', join(folder, 'bare')]);
    t.like(quiet.at(-1), { testAccuracy: null, speedup: null, baselineImagesPerSecond: null });
  }),
);

test.serial('bench', async (t) => {
  const flags = ['--rounds', '1', '--seconds', '0.3', '--threads', '2', '--profile'];
  const objects = await spoken(t, ['bench', ...recipe, ...flags]);
  t.deepEqual(typesOf(objects), ['bench-progress', 'result']);
  holds(t, objects, {
    model: 'text',
    dataset: 'text',
    batchSize: 'count',
    shardsPerStep: 'count',
    kernels: 'text',
    kernelsReason: 'text',
    rounds: 'count',
    figures: 'list',
    profile: 'list',
    details: 'record',
  });
  const { figures, profile, details } = objects.at(-1) as unknown as {
    figures: Record<'threads' | 'imagesPerSecond' | 'speedup' | 'efficiency' | 'coresGive', number>[];
    profile: { name: string; share: number }[];
    details: { roofs: { gigaflops: number }; limits: { share: number }[]; kernels: { name: string }[] };
  };
  t.deepEqual(
    figures.map(({ threads }) => threads),
    [1, 2],
  );
  t.is(figures[0]?.speedup, 1);
  t.is(figures[0]?.coresGive, 1);
  for (const { threads, imagesPerSecond, speedup, efficiency, coresGive } of figures) {
    t.true(imagesPerSecond > 0);
    t.true(coresGive > 0);
    t.is(efficiency, speedup / threads);
  }
  const names = profile.map(({ name }) => name);
  for (const name of ['waiting', 'reduction', 'loading', 'convolution forward'])
    t.true(names.includes(name), names.join(', '));
  for (const shares of [profile, details.limits]) {
    const total = shares.reduce((sum, { share }) => sum + share, 0);
    t.true(Math.abs(total - 1) < 0.2, `the shares add up to ${total}`);
  }
  t.true(details.roofs.gigaflops > 0);
  t.true(details.kernels.some(({ name }) => name === 'winogradForward' || name === 'convForward'));
});

test.serial('plan, measured and not', async (t) => {
  const fields = {
    model: 'text',
    dataset: 'text',
    shardSize: 'count',
    parameters: 'count',
    flops: 'count',
    arenaBytes: 'count',
    packedBytes: 'count',
    storeBytes: 'count',
    datasetBytes: 'count',
    threads: 'count',
    totalBytes: 'count',
    unsharedBytes: 'count',
    rows: 'list',
  } as const;
  const flags = ['--dataset', 'synthetic', '--batch-size', '16', '--threads', '2'];
  const measured = await spoken(t, ['plan', 'resnet8', ...flags]);
  holds(t, measured, fields);
  const { rows } = measured.at(-1) as unknown as { rows: { share: number }[] };
  const total = rows.reduce((sum, { share }) => sum + share, 0);
  t.true(Math.abs(total - 1) < 1e-6);
  const estimated = await spoken(t, ['plan', 'resnet8', ...flags, '--no-measure']);
  holds(t, estimated, fields);
  t.is((estimated.at(-1) as unknown as { rows: { share: null }[] }).rows[0]?.share, null);
});

test.serial('data', async (t) => {
  await requireDataset('mnist');
  const fields = {
    dataset: 'text',
    title: 'text',
    classes: 'count',
    shape: 'list',
    trainSamples: 'count',
    testSamples: 'count',
    trainSha256: 'sha256',
    testSha256: 'sha256',
    seconds: 'number',
  } as const;
  const objects = await spoken(t, ['data', 'mnist']);
  holds(t, objects, fields);
  t.like(objects.at(-1), { trainSamples: 60_000, testSamples: 10_000, classes: 10 });
  holds(t, await spoken(t, ['data', 'synthetic']), fields);
});
