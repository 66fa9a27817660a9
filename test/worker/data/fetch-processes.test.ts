/** Several processes at once, and processes that the system does not let write. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchEntry } from '@lockstep/worker/data/fetch-dataset.ts';
import { openEntry } from '@lockstep/worker/data/open-dataset.ts';
import test from 'ava';
import { cifarFixture, listFiles, makeTarball, temporaryFolder } from './fixtures.ts';
import { registryOf, serveTarball } from './tarball-server.ts';

const { entry, files } = cifarFixture();
const tarball = makeTarball(new Map([...files, ['readme', randomBytes(300_000)]]));
const finished = [...files.keys(), 'manifest.json'].toSorted();

interface ChildAnswer {
  readonly fetched?: boolean;
  readonly code?: string;
  readonly message?: string;
}

/** Runs fetch-child.ts, under a limit on file sizes if given (in KiB). */
async function fetchInChild(
  cache: string,
  url: string,
  integrity: string,
  limit?: number,
): Promise<ChildAnswer> {
  const script = fileURLToPath(new URL('fetch-child.ts', import.meta.url));
  const args = [process.execPath, script, cache, url, integrity];
  const child =
    limit === undefined
      ? spawn(args[0] ?? '', args.slice(1))
      : spawn('bash', ['-c', `ulimit -f ${limit}; exec "$@"`, 'bash', ...args]);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await new Promise((resolve) => child.on('close', resolve));
  return JSON.parse(output) as ChildAnswer;
}

test('several processes at once: one fetches, the others find it done', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball);
  const answers = await Promise.all([
    fetchInChild(cacheDirectory, server.url, server.integrity),
    fetchInChild(cacheDirectory, server.url, server.integrity),
    fetchEntry(entry, { cacheDirectory, registry: registryOf(server) }),
    fetchEntry(entry, { cacheDirectory, registry: registryOf(server) }),
  ]);
  t.is(answers.filter((answer) => answer.fetched === true).length, 1);
  t.is(server.requests.length, 1);
  t.deepEqual(await listFiles(cacheDirectory), finished);
  t.is((await openEntry(entry, { cacheDirectory })).train.count, 20);
});

test('no room for the download: DISK_FULL, and nothing is left', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const server = await serveTarball(t, tarball);
  const answer = await fetchInChild(cacheDirectory, server.url, server.integrity, 8);
  t.is(answer.code, 'DISK_FULL');
  t.true(answer.message?.includes(join(cacheDirectory, 'downloads')));
  t.regex(answer.message ?? '', /no room for [\d.]+ MB/);
  t.deepEqual(await listFiles(cacheDirectory), []);
});

test('no room for the files: DISK_FULL, and nothing is left', async (t) => {
  const cacheDirectory = await temporaryFolder(t);
  const { entry: large, files: largeFiles } = cifarFixture();
  // Well compressed, so that the tarball fits below the limit and a file does not.
  const padded = new Map([...largeFiles].map(([name]) => [name, new Uint8Array(490 * 64)]));
  const bytes = 490 * 64;
  t.true(makeTarball(padded).length < 8192);
  const script = `
    import { fetchEntry } from '@lockstep/worker/data/fetch-dataset.ts';
    const [entry, cacheDirectory, from] = JSON.parse(process.argv[1]);
    try { await fetchEntry(entry, { cacheDirectory, from }); }
    catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message })); }`;
  const wide = {
    ...large,
    // 640 records of one label byte and 16 x 3 pixels.
    files: large.files.map((file) => ({ ...file, bytes, count: bytes / 49, md5: null })),
  };
  const from = join(cacheDirectory, 'tiny-binary.tar.gz');
  await writeFile(from, makeTarball(padded));
  const data = JSON.stringify([wide, join(cacheDirectory, 'cache'), from]);
  const command = ['--input-type=module', '-e', script, data];
  const child = spawn('bash', ['-c', 'ulimit -f 8; exec "$@"', 'bash', process.execPath, ...command], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await new Promise((resolve) => child.on('close', resolve));
  const answer = JSON.parse(output) as ChildAnswer;
  t.is(answer.code, 'DISK_FULL');
  t.true(answer.message?.includes(join(cacheDirectory, 'cache', 'datasets', 'tiny')));
  t.deepEqual(await listFiles(join(cacheDirectory, 'cache')), []);
});
