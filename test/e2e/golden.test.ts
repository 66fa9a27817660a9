/**
 * The bits of a few small recipes, kept in `test/golden/weights.json`, so that a change of bits is noticed.
 *
 * `LOCKSTEP_UPDATE_GOLDEN=1 npx ava e2e/golden.test.ts` (in `test/`) writes the file anew. Do that only when the
 * bits were meant to change, and say so in the changelog: users compare hashes between versions and machines, and a run
 * that is resumed after an update ends with other weights than it would have.
 */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { bare, trainResult } from '../helpers/training-process.ts';

const goldenFile = join(import.meta.dirname, '..', 'golden', 'weights.json');
const updating = process.env['LOCKSTEP_UPDATE_GOLDEN'] === '1';

/** Small, and on data that is generated: nothing but the project's own arithmetic goes into these hashes. */
const recipes: Readonly<Record<string, readonly string[]>> = {
  'softmax-regression': ['--model', 'softmax-regression', '--dataset', 'synthetic-mnist'],
  mlp: ['--model', 'mlp', '--dataset', 'synthetic', '--optimizer', 'sgd', '--lr', '0.01'],
  lenet5: ['--model', 'lenet5', '--dataset', 'synthetic', '--augmentation', 'crop-flip', '--shards', '7'],
  resnet8: ['--model', 'resnet8', '--dataset', 'synthetic', '--batch-size', '32', '--shards', '2'],
};

test.serial('the bits of small recipes are those of the golden file', (t) =>
  withFolder(async (folder) => {
    const found: Record<string, string> = {};
    for (const [name, args] of Object.entries(recipes)) {
      for (const arithmetic of ['fma', 'mul-add']) {
        const flags = ['--steps', '10', '--arithmetic', arithmetic, '--threads', '2'];
        const result = await trainResult([...args, ...flags, ...bare, '--out', join(folder, name)]);
        found[`${name} ${arithmetic}`] = result.weightsSha256;
      }
    }
    if (updating) {
      await mkdir(dirname(goldenFile), { recursive: true });
      await writeFile(goldenFile, `${JSON.stringify(found, null, 2)}\n`);
      t.log(`${goldenFile} was written anew: this run has compared nothing.`);
    }
    const golden = JSON.parse(await readFile(goldenFile, 'utf8')) as unknown;
    t.deepEqual(
      found,
      golden,
      'If the bits were meant to change: LOCKSTEP_UPDATE_GOLDEN=1, and the changelog.',
    );
  }),
);
