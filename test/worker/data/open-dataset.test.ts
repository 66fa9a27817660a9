/** Out of the cache into shared memory. */
import { createHash } from 'node:crypto';
import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { cacheFolder, datasetFolder } from '@lockstep/worker/data/cache-folder.ts';
import { datasetNames, describeDataset, findDataset } from '@lockstep/worker/data/catalogue.ts';
import { fetchEntry } from '@lockstep/worker/data/fetch-dataset.ts';
import { openDataset, openEntry } from '@lockstep/worker/data/open-dataset.ts';
import test, { type ExecutionContext } from 'ava';
import { cifarFixture, failure, type Fixture, idxFixture, pixelValue, temporaryFolder } from './fixtures.ts';
import { writeFiles } from './fixtures.ts';

async function cached(
  t: ExecutionContext,
  fixture: Fixture,
): Promise<{ cacheDirectory: string; folder: string }> {
  const cacheDirectory = await temporaryFolder(t);
  const folder = datasetFolder(cacheDirectory, fixture.entry.name);
  await writeFiles(folder, fixture.files);
  return { cacheDirectory, folder };
}

test('planes become [height][width][channels]; files follow one another', async (t) => {
  for (const labelBytes of [1, 2] as const) {
    const fixture = cifarFixture(labelBytes);
    const { cacheDirectory } = await cached(t, fixture);
    const dataset = await openEntry(fixture.entry, { cacheDirectory });
    const { images, labels, sha256, count } = dataset.train;
    t.is(count, 20);
    t.is(images.length, 20 * 4 * 4 * 3);
    for (const sample of [0, 9, 10, 19]) {
      t.is(labels[sample], sample % 3);
      for (const [y, x, channel] of [
        [0, 0, 0],
        [0, 1, 2],
        [3, 3, 1],
        [2, 1, 0],
      ] as const) {
        t.is(images[((sample * 4 + y) * 4 + x) * 3 + channel], pixelValue(sample, channel, y * 4 + x));
      }
    }
    t.is(dataset.test.images[1], pixelValue(20, 1, 0));
    t.is(sha256, createHash('sha256').update(images).update(labels).digest('hex'));
  }
});

test('IDX images and labels', async (t) => {
  const fixture = idxFixture();
  const { cacheDirectory } = await cached(t, fixture);
  const { train, test: held } = await openEntry(fixture.entry, { cacheDirectory });
  t.deepEqual([...train.labels], [0, 2, 1, 0, 2, 1]);
  t.is(train.images[3 * 20 + 7], pixelValue(3, 0, 7));
  t.is(held.images.length, 60);
});

test('a thread gets the bytes without a copy', async (t) => {
  const fixture = idxFixture();
  const { cacheDirectory } = await cached(t, fixture);
  const dataset = await openEntry(fixture.entry, { cacheDirectory });
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    workerData.train.images[0] = 200;
    parentPort.postMessage(workerData.title);`;
  const thread = new Worker(script, { eval: true, workerData: dataset });
  t.teardown(() => thread.terminate());
  t.is(await new Promise((resolve) => thread.once('message', resolve)), 'Tiny grey');
  t.is(dataset.train.images[0], 200);
  t.is(structuredClone(dataset).train.images[0], 200);
});

test('missing: all files, or some', async (t) => {
  const fixture = cifarFixture();
  const { cacheDirectory, folder } = await cached(t, fixture);
  await rm(join(folder, 'data_batch_2.bin'));
  const some = await failure(openEntry(fixture.entry, { cacheDirectory }));
  t.is(some.code, 'DATA_MISSING');
  t.regex(some.message, /data_batch_2\.bin missing in .+ Run: lockstep data tiny$/);
  const all = await failure(openDataset('mnist', { cacheDirectory }));
  t.is(all.code, 'DATA_MISSING');
  t.regex(all.message, /MNIST is not in the cache .+ Run: lockstep data mnist$/);
  const disk = await failure(openDataset('fashion-mnist', { cacheDirectory, fetchIfMissing: true }));
  t.regex(disk.message, /lockstep data fashion-mnist --from PATH$/);
  t.is((await failure(openDataset('imagenet'))).code, 'DATASET_UNKNOWN');
});

test('truncated, lengthened, changed: the file, what was expected and what was found', async (t) => {
  const fixture = cifarFixture();
  const { cacheDirectory, folder } = await cached(t, fixture);
  const path = join(folder, 'data_batch_2.bin');
  const whole = await readFile(path);

  await truncate(path, 100);
  const short = await failure(openEntry(fixture.entry, { cacheDirectory }));
  t.is(short.code, 'DATA_CORRUPT');
  t.like(short.values, { file: path, quality: 'bytes', expected: 490, found: 100 });
  t.regex(short.message, /expected 490, found 100\. Run: lockstep data tiny/);

  await writeFile(path, whole);
  await appendFile(path, 'x');
  t.like((await failure(openEntry(fixture.entry, { cacheDirectory }))).values, { file: path, found: 491 });

  const changed = Buffer.from(whole);
  changed[49 + 5] = (changed[49 + 5] ?? 0) ^ 1;
  await writeFile(path, changed);
  const error = await failure(openEntry(fixture.entry, { cacheDirectory }));
  t.like(error.values, { file: path, quality: 'MD5', expected: fixture.entry.files[1]?.md5 });
  t.is((await openEntry(fixture.entry, { cacheDirectory, verify: false })).train.count, 20);

  changed[49] = 3;
  await writeFile(path, changed);
  const label = await failure(openEntry(fixture.entry, { cacheDirectory, verify: false }));
  t.like(label.values, { file: path, quality: 'label', expected: 'below 3', found: 3 });
});

test('pinned hashes of the splits settle it; the culprit is named all the same', async (t) => {
  const fixture = cifarFixture();
  const { cacheDirectory, folder } = await cached(t, fixture);
  const { train, test: held } = await openEntry(fixture.entry, { cacheDirectory });
  const entry = { ...fixture.entry, sha256: { train: train.sha256, test: held.sha256 } };
  t.is((await openEntry(entry, { cacheDirectory })).train.sha256, train.sha256);
  const path = join(folder, 'test_batch.bin');
  const bytes = await readFile(path);
  bytes[30] = (bytes[30] ?? 0) ^ 4;
  await writeFile(path, bytes);
  t.like((await failure(openEntry(entry, { cacheDirectory }))).values, { file: path, quality: 'MD5' });
});

test('where nothing is pinned, a change after the import is found by the manifest', async (t) => {
  const fixture = cifarFixture(2);
  const cacheDirectory = await temporaryFolder(t);
  const from = await writeFiles(await temporaryFolder(t), fixture.files);
  const { folder, files } = await fetchEntry(fixture.entry, { cacheDirectory, from });
  const path = join(folder, 'data_batch_1.bin');
  const bytes = await readFile(path);
  bytes[30] = (bytes[30] ?? 0) ^ 4;
  await writeFile(path, bytes);
  const error = await failure(openEntry(fixture.entry, { cacheDirectory }));
  t.like(error.values, { file: path, quality: 'SHA-256', expected: files[0]?.sha256 });
});

test('the cache folder', (t) => {
  t.is(cacheFolder({ LOCKSTEP_CACHE: '/a/b', XDG_CACHE_HOME: '/x' }, '/home/u'), '/a/b');
  t.is(cacheFolder({ LOCKSTEP_CACHE: '', XDG_CACHE_HOME: '/x' }, '/home/u'), '/x/lockstep');
  t.is(cacheFolder({ XDG_CACHE_HOME: 'relative' }, '/home/u'), '/home/u/.cache/lockstep');
  t.is(cacheFolder({}, '/home/u'), '/home/u/.cache/lockstep');
});

test('the catalogue is consistent', (t) => {
  t.deepEqual(datasetNames, [
    'cifar10',
    'cifar100',
    'mnist',
    'fashion-mnist',
    'synthetic',
    'synthetic-mnist',
  ]);
  t.is(findDataset('nothing'), null);
  for (const name of datasetNames) {
    const entry = describeDataset(name);
    t.is(entry.mean.length, entry.channels);
    t.is(entry.deviation.length, entry.channels);
    t.is(new Set(entry.classes).size, name === 'cifar100' ? 100 : 10);
    for (const split of ['train', 'test'] as const) {
      const images = entry.files.filter((file) => file.split === split && file.content !== 'labels');
      const count = images.reduce((sum, file) => sum + file.count, 0);
      if (entry.format !== 'generated') t.is(count, split === 'train' ? entry.trainCount : entry.testCount);
    }
  }
  t.is(describeDataset('cifar100').files[0]?.bytes, 153_700_000);
  t.is(describeDataset('mnist').files[0]?.bytes, 47_040_016);
});

for (const name of ['mnist', 'cifar10']) {
  test(`the real ${name}, where it is in the cache`, async (t) => {
    const dataset = await openDataset(name).catch(() => null);
    if (dataset === null) {
      t.pass();
      t.log(`not in the cache: lockstep data ${name}`);
      return;
    }
    const first = name === 'mnist' ? [5, 0, 4, 1, 9, 2, 1, 3] : [6, 9, 9, 4, 1, 1, 2, 7];
    t.deepEqual([...dataset.train.labels.subarray(0, 8)], first);
    const { images } = dataset.train;
    for (let channel = 0; channel < dataset.channels; channel++) {
      let sum = 0;
      let squares = 0;
      let count = 0;
      for (let at = channel; at < images.length; at += dataset.channels) {
        const value = images[at] ?? 0;
        sum += value;
        squares += value * value;
        count++;
      }
      const mean = sum / count / 255;
      const deviation = Math.sqrt(squares / count / 255 ** 2 - mean ** 2);
      t.true(Math.abs(mean - (dataset.mean[channel] ?? 0)) < 1e-4);
      t.true(Math.abs(deviation - (dataset.deviation[channel] ?? 0)) < 2e-4);
    }
  });
}
