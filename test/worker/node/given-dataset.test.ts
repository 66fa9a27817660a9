/** `join --data`: a cache, official files or an archive of them, if they are the run's; and nothing is silent for long. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { datasetFolder } from '@lockstep/worker/data/cache-folder.ts';
import type { DatasetEntry } from '@lockstep/worker/data/catalogue.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { digestBytes, digestFile } from '@lockstep/worker/data/integrity.ts';
import { openSources } from '@lockstep/worker/data/open-sources.ts';
import { type GivenOptions, openGivenDataset } from '@lockstep/worker/node/given-dataset.ts';
import { fetchSplit, readSplit, splitFolder } from '@lockstep/worker/node/split-cache.ts';
import test, { type ExecutionContext } from 'ava';
import {
  cifarFixture,
  failure,
  type Files,
  type Fixture,
  idxFixture,
  listFiles,
  makeTarball,
  temporaryFolder,
  writeFiles,
} from '../data/fixtures.ts';

const cifar = cifarFixture(2);
const idx = idxFixture();

/** What a coordinator that has these files says of them. */
async function toldBy(t: ExecutionContext, { entry, files }: Fixture): Promise<GivenOptions> {
  const dataset = await openSources(entry, await writeFiles(await temporaryFolder(t), files));
  const split = (name: 'train' | 'test') => {
    const { count, sha256, images, labels } = dataset[name];
    return { count, sha256, bytes: images.length + labels.length };
  };
  const { name, height, width, channels, classes, mean, deviation } = dataset;
  const [train, held] = [split('train'), split('test')];
  return {
    description: {
      name,
      title: 'as the coordinator calls it',
      height,
      width,
      channels,
      classes: [...classes],
      mean: [...mean],
      deviation: [...deviation],
      train: { count: train.count, sha256: train.sha256 },
      test: { count: held.count, sha256: held.sha256 },
    },
    terms: { splits: { train, test: held } },
    signal: new AbortController().signal,
  };
}

async function accept(t: ExecutionContext, entry: DatasetEntry, path: string, options: GivenOptions) {
  const before = await listFiles(join(path, '..'));
  const dataset: Dataset = await openGivenDataset(entry, path, options);
  t.is(dataset.title, 'as the coordinator calls it');
  for (const split of ['train', 'test'] as const) {
    const { images, labels, sha256 } = dataset[split];
    t.is(sha256, options.terms.splits[split].sha256);
    t.is(createHash('sha256').update(images).update(labels).digest('hex'), sha256);
  }
  // What is given is read and left as it is.
  t.deepEqual(await listFiles(join(path, '..')), before);
}

const zipped = (files: Files): Files =>
  new Map([...files].map(([name, bytes]) => [`${name}.gz`, gzipSync(bytes)]));

test('a cache, a folder, one of its files, gzipped files, an archive, the folder of the archive', async (t) => {
  for (const fixture of [cifar, idx]) {
    const { entry, files } = fixture;
    const options = await toldBy(t, fixture);
    const within = async (name: string): Promise<string> => join(await temporaryFolder(t), name);
    const cache = await within('cache');
    await writeFiles(datasetFolder(cache, entry.name), files);
    await accept(t, entry, cache, options);
    const folder = await writeFiles(await within('official'), files);
    await accept(t, entry, folder, options);
    await accept(t, entry, join(folder, entry.files[0]?.name ?? ''), options);
    await accept(t, entry, await writeFiles(await within('zipped'), zipped(files)), options);
    const archives = await within('archives');
    await mkdir(archives);
    const archive = join(archives, 'tiny-binary.tar.gz');
    await writeFile(archive, makeTarball(files));
    await accept(t, entry, archive, options);
    if (entry.official !== null) await accept(t, entry, archives, options);
  }
});

test('a cache that a node filled from its coordinator', async (t) => {
  const options = await toldBy(t, cifar);
  const { entry, files } = cifar;
  const dataset = await openSources(entry, await writeFiles(await temporaryFolder(t), files));
  const cache = join(await temporaryFolder(t), 'cache');
  for (const split of ['train', 'test'] as const) {
    const bytes = Buffer.concat([dataset[split].images, dataset[split].labels]);
    const fetch = async (offset: number, length: number) => bytes.subarray(offset, offset + length);
    const how = { chunkBytes: 64, window: 2, onBytes: () => {} };
    t.is(await fetchSplit(cache, options.terms.splits[split], fetch, how), null);
  }
  await accept(t, entry, cache, options);
});

test('what is not there, not whole, or not the data of the run', async (t) => {
  const options = await toldBy(t, cifar);
  const { entry, files } = cifar;
  const refused = async (path: string) => failure(openGivenDataset(entry, path, options));
  const folder = await temporaryFolder(t);
  t.is((await refused(join(folder, 'nowhere'))).code, 'FILE_UNREADABLE');
  const empty = await refused(folder);
  t.is(empty.code, 'DATA_MISSING');
  t.regex(empty.message, /data_batch_1\.bin, data_batch_2\.bin, test_batch\.bin not found there/);

  const last = [...files.keys()].at(-1) as string;
  const cache = await temporaryFolder(t);
  await writeFiles(datasetFolder(cache, entry.name), new Map([...files].slice(0, -1)));
  t.regex((await refused(cache)).message, new RegExp(`not complete in the cache: ${last} missing`));

  const other = Uint8Array.from(files.get(last) as Uint8Array);
  other[5] = (other[5] as number) ^ 1;
  const path = await writeFiles(await temporaryFolder(t), new Map([...files, [last, other]]));
  const wrong = await refused(path);
  t.is(wrong.code, 'DATA_CORRUPT');
  t.like(wrong.values, { path, split: 'test', expected: options.terms.splits.test.sha256 });
  t.regex(wrong.message, /holds another Tiny than the run's: .* leave --data away/);

  const short = await writeFiles(await temporaryFolder(t), new Map([...files, [last, other.subarray(1)]]));
  t.like((await refused(short)).values, { quality: 'bytes' });
});

/** How often others had their turn while something was done. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  let going = true;
  const turn = (): void => {
    turns += 1;
    if (going) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  going = false;
  return turns;
}

test('hashing and reading leave turns to others: at least one for each mebibyte', async (t) => {
  const mebibytes = 24;
  const bytes = randomBytes(mebibytes << 20);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const cache = await temporaryFolder(t);
  const split = { sha256, count: 1, bytes: bytes.length };
  const fetch = async (offset: number, length: number) => bytes.subarray(offset, offset + length);
  const how = { chunkBytes: 1 << 20, window: 2, onBytes: () => {} };
  t.is(await fetchSplit(cache, split, fetch, how), null);
  const work: (() => Promise<unknown>)[] = [
    async () => t.is(await digestBytes('sha256', bytes.subarray(0, 77), bytes.subarray(77)), sha256),
    async () => t.deepEqual(await readSplit(cache, split).then((found) => found?.length), bytes.length),
    async () => t.is(await digestFile(join(splitFolder(cache), sha256), 'sha256', 'hex'), sha256),
  ];
  for (const each of work) t.true((await turnsDuring(each)) >= mebibytes);
});

test('so does unpacking', async (t) => {
  const count = 5000;
  const files: Files = new Map([['test.bin', new Uint8Array(count * 3074)]]);
  const file = { name: 'test.bin', split: 'test', content: 'cifar', count, bytes: count * 3074 } as const;
  const entry: DatasetEntry = {
    ...cifar.entry,
    height: 32,
    width: 32,
    trainCount: 0,
    testCount: count,
    files: [{ ...file, md5: null, sha256: null }],
  };
  const folder = await writeFiles(await temporaryFolder(t), files);
  t.true((await turnsDuring(() => openSources(entry, folder))) >= 10);
});
