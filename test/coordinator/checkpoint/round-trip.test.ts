import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readCheckpoint } from '@lockstep/coordinator/checkpoint/reader.ts';
import { findNewestCheckpoint, locateCheckpoint } from '@lockstep/coordinator/checkpoint/search.ts';
import { choosePruned, tidyRunDirectory, writeCheckpoint } from '@lockstep/coordinator/checkpoint/writer.ts';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import test from 'ava';
import { sampleCheckpoint, withFolder } from '../../helpers/checkpoint-sample.ts';

test('what is written is what is read, bit for bit', (t) =>
  withFolder(async (folder) => {
    // Larger than a chunk of the copy, and no multiple of it.
    const written = sampleCheckpoint(20, 300_001, { lr: 0.1, epochs: 3 });
    const path = await writeCheckpoint(folder, written, { keep: 3 });
    t.is(path, join(folder, 'checkpoint-00000020'));
    const { weights, optimizer, ...rest } = await readCheckpoint(path);
    const { weights: w, optimizer: o, ...expected } = written;
    t.deepEqual(rest, expected);
    t.deepEqual([...weights], [...w]);
    t.deepEqual(Object.keys(optimizer), ['first', 'second']);
    t.deepEqual([...(optimizer['second'] ?? [])], [...(o['second'] ?? [])]);
    t.deepEqual(await readdir(folder), ['checkpoint-00000020']);
  }));

test('a view into a larger shared block writes only its own bytes', (t) =>
  withFolder(async (folder) => {
    const sample = sampleCheckpoint(1, 64);
    const block = new Float32Array(new SharedArrayBuffer(1024));
    block.fill(9);
    block.set(sample.weights, 16);
    const weights = block.subarray(16, 80);
    const path = await writeCheckpoint(folder, { ...sample, weights }, { keep: 1 });
    t.deepEqual([...(await readCheckpoint(path)).weights], [...sample.weights]);
  }));

test('weights that change while they are written are refused, and nothing is left', (t) =>
  withFolder(async (folder) => {
    const sample = sampleCheckpoint(1);
    sample.weights[3] = 77;
    const error = await t.throwsAsync(writeCheckpoint(folder, sample, { keep: 1 }), {
      instanceOf: LockstepError,
    });
    t.is(error.code, 'INTERNAL');
    t.deepEqual(await readdir(folder), []);
  }));

test('the oldest are pruned, only after the new one is there', (t) =>
  withFolder(async (folder) => {
    for (const step of [10, 20, 30, 40]) await writeCheckpoint(folder, sampleCheckpoint(step), { keep: 2 });
    t.deepEqual(await readdir(folder), ['checkpoint-00000030', 'checkpoint-00000040']);
  }));

test('a fresh run in the folder of a longer one keeps its own checkpoint, and it counts as the newest', (t) =>
  withFolder(async (folder) => {
    for (const step of [100, 200])
      await writeCheckpoint(folder, sampleCheckpoint(step), { keep: 2, now: step });
    const path = await writeCheckpoint(folder, sampleCheckpoint(5), { keep: 2, now: 1000 });
    t.deepEqual(await readdir(folder), ['checkpoint-00000005', 'checkpoint-00000200']);
    t.is((await findNewestCheckpoint(folder))?.path, path);
  }));

test('the same step is replaced', (t) =>
  withFolder(async (folder) => {
    await writeCheckpoint(folder, sampleCheckpoint(5, 100), { keep: 2 });
    const path = await writeCheckpoint(folder, sampleCheckpoint(5, 200), { keep: 2 });
    t.is((await readCheckpoint(path)).weights.length, 200);
    t.deepEqual(await readdir(folder), ['checkpoint-00000005']);
  }));

test('which ones go', (t) => {
  const found = ['a', 'b', 'c'].map((name, i) => ({ name, writtenAt: `2026-01-0${i + 1}T00:00:00Z` }));
  t.deepEqual(choosePruned(found, 3, 'c'), []);
  t.deepEqual(choosePruned(found, 2, 'c'), ['a']);
  t.deepEqual(choosePruned(found, 1, 'a'), ['c', 'b']);
});

test('leftovers of dead writers go, what had stepped aside comes back, strangers stay', (t) =>
  withFolder(async (folder) => {
    const path = await writeCheckpoint(folder, sampleCheckpoint(5), { keep: 2 });
    const dead = 4_194_305; // above the largest process id of Linux
    await mkdir(join(folder, `.writing-checkpoint-00000006-${dead}-00aa`));
    await mkdir(join(folder, `.replaced-checkpoint-00000007-${dead}-00aa`));
    await mkdir(join(folder, `.replaced-checkpoint-00000005-${dead}-00aa`));
    await mkdir(join(folder, `.writing-checkpoint-00000008-${process.ppid}-00aa`));
    await writeFile(join(folder, 'notes.txt'), 'mine');
    await tidyRunDirectory(folder);
    t.deepEqual((await readdir(folder)).toSorted(), [
      `.writing-checkpoint-00000008-${process.ppid}-00aa`,
      'checkpoint-00000005',
      'checkpoint-00000007',
      'notes.txt',
    ]);
    await t.notThrowsAsync(readCheckpoint(path));
  }));

test('a checkpoint is found by its folder, its manifest or its run', (t) =>
  withFolder(async (folder) => {
    const path = await writeCheckpoint(folder, sampleCheckpoint(5), { keep: 2 });
    t.is(await locateCheckpoint(path), path);
    t.is(await locateCheckpoint(join(path, 'manifest.json')), path);
    t.is(await locateCheckpoint(folder), path);
    const error = await t.throwsAsync(locateCheckpoint(join(folder, 'checkpoint-00000009')));
    t.true(error instanceof LockstepError && error.code === 'CHECKPOINT_MISSING');
    t.true(error.message.includes(path));
  }));

test('the manifest is plain, readable JSON with no path of the machine in it', (t) =>
  withFolder(async (folder) => {
    const path = await writeCheckpoint(folder, sampleCheckpoint(5), { keep: 2, now: 0 });
    const text = await readFile(join(path, 'manifest.json'), 'utf8');
    t.false(text.includes(folder));
    t.is(JSON.parse(text).writtenAt, '1970-01-01T00:00:00.000Z');
  }));
