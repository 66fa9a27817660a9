import { spawn } from 'node:child_process';
import { appendFile, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readCheckpoint } from '@lockstep/coordinator/checkpoint/reader.ts';
import { findNewestCheckpoint } from '@lockstep/coordinator/checkpoint/search.ts';
import { writeCheckpoint } from '@lockstep/coordinator/checkpoint/writer.ts';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import test, { type ExecutionContext } from 'ava';
import { alterManifest, sampleCheckpoint, withFolder } from '../../helpers/checkpoint-sample.ts';

const files = [
  'manifest.json',
  'weights.f32',
  'optimizer-first.f32',
  'optimizer-second.f32',
  'loss-history.f32',
];

const damages: Record<string, (file: string) => Promise<void>> = {
  truncated: async (file) => truncate(file, (await readFile(file)).length - 4),
  emptied: (file) => truncate(file, 0),
  extended: (file) => appendFile(file, 'xxxx'),
  deleted: (file) => rm(file),
  'with a flipped bit': async (file) => {
    const bytes = await readFile(file);
    const at = Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(file, bytes);
  },
};

/** Damages the newer of two checkpoints and expects the error to name the file and offer the older one. */
async function expectRefusal(t: ExecutionContext, file: string, harm: (path: string) => Promise<void>) {
  await withFolder(async (folder) => {
    const whole = await writeCheckpoint(folder, sampleCheckpoint(10), { keep: 3 });
    const path = await writeCheckpoint(folder, sampleCheckpoint(20), { keep: 3 });
    await harm(join(path, file));
    const error = await t.throwsAsync(readCheckpoint(path), { instanceOf: LockstepError });
    t.is(error.code, 'CHECKPOINT_CORRUPT');
    t.is(error.values['file'], file);
    t.truthy(error.values['expected']);
    t.truthy(error.values['found']);
    t.true(error.advice.includes(whole), error.message);
    const newest = await findNewestCheckpoint(folder);
    t.is(newest?.path, whole);
    t.is(newest?.skipped.length, 1);
    t.is(newest?.skipped[0]?.path, path);
  });
}

for (const file of files) {
  for (const [how, harm] of Object.entries(damages)) {
    test(`${file} ${how}: refused by name, the older one offered`, (t) => expectRefusal(t, file, harm));
  }
}

const alterations: Record<string, (manifest: Record<string, unknown>) => void> = {
  'another step': (m) => Object.assign(m, { step: 21 }),
  'a newer version': (m) => Object.assign(m, { version: 3 }),
  'another format': (m) => Object.assign(m, { format: 'something' }),
  'another recipe': (m) => Object.assign(m, { recipe: { lr: 3 } }),
  'a field missing': (m) => delete m['samples'],
  'a file outside its folder': (m) => {
    const [first] = m['tensors'] as Record<string, unknown>[];
    Object.assign(first ?? {}, { file: '../checkpoint-00000010/weights.f32' });
  },
  'an impossible size': (m) => {
    const [first] = m['tensors'] as Record<string, unknown>[];
    Object.assign(first ?? {}, { bytes: 2 ** 52 });
  },
};

for (const [what, change] of Object.entries(alterations)) {
  test(`a manifest with ${what} is refused`, (t) =>
    expectRefusal(t, 'manifest.json', (file) => alterManifest(file, change, false)));
}

test('a sealed manifest with a path outside its folder is refused', (t) => {
  const change = alterations['a file outside its folder'] ?? t.fail;
  return expectRefusal(t, 'manifest.json', (file) => alterManifest(file, change, true));
});

test('a checkpoint of the first version is read; it does not say who computed it', (t) =>
  withFolder(async (folder) => {
    const path = await writeCheckpoint(folder, sampleCheckpoint(10), { keep: 3 });
    await alterManifest(
      join(path, 'manifest.json'),
      (manifest) => {
        manifest['version'] = 1;
        delete manifest['numerics'];
      },
      true,
    );
    const { numerics, step } = await readCheckpoint(path);
    t.deepEqual([numerics, step], [undefined, 10]);
  }));

test('without a whole one beside it, the advice is to start again', (t) =>
  withFolder(async (folder) => {
    const path = await writeCheckpoint(folder, sampleCheckpoint(10), { keep: 3 });
    await truncate(join(path, 'weights.f32'), 8);
    const error = await t.throwsAsync(readCheckpoint(path), { instanceOf: LockstepError });
    t.regex(error.message, /weights\.f32: expected 4000 bytes, found 8 bytes.*no whole checkpoint/);
    t.is(await findNewestCheckpoint(folder), null);
  }));

const writer = join(import.meta.dirname, '../../helpers/checkpoint-writer.ts');

/** Starts the writer, kills it after some output and a delay, and waits for its end. */
async function killedWriter(folder: string, delayMs: number): Promise<void> {
  const child = spawn(process.execPath, [writer, folder, '400000', '2'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  await new Promise((resolve) => setTimeout(resolve, delayMs));
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
}

test('a writer killed at any moment leaves whole checkpoints, and the next writer tidies up', (t) =>
  withFolder(async (folder) => {
    for (const delayMs of [3, 8, 13, 21, 34]) {
      await killedWriter(folder, delayMs);
      const names = (await readdir(folder)).filter((name) => !name.startsWith('.'));
      for (const name of names) await t.notThrowsAsync(readCheckpoint(join(folder, name)), `${delayMs} ms`);
      t.true(names.length >= 1);
    }
    await writeCheckpoint(folder, sampleCheckpoint(999_999), { keep: 2 });
    const left = await readdir(folder);
    t.is(left.length, 2);
    t.false(left.some((name) => name.startsWith('.')));
  }));

test('a disk that is full ends in DISK_FULL, with the older checkpoint whole and nothing half-written', (t) =>
  withFolder(async (folder) => {
    const whole = await writeCheckpoint(folder, sampleCheckpoint(10), { keep: 3 });
    // A limit on the size of a file (EFBIG) takes the same path as a full disk, without needing one.
    const command = `ulimit -f 512; exec "$0" "$@"`;
    const child = spawn('bash', ['-c', command, process.execPath, writer, folder, '400000', '2', '1']);
    let output = '';
    child.stdout.on('data', (chunk) => (output += String(chunk)));
    const code = await new Promise((resolve) => child.once('exit', resolve));
    t.is(code, 1);
    t.regex(output, /^DISK_FULL .*EFBIG.*older checkpoints are untouched/);
    t.deepEqual(await readdir(folder), ['checkpoint-00000010']);
    await t.notThrowsAsync(readCheckpoint(whole));
  }));

test('a run folder that cannot be made is named', (t) =>
  withFolder(async (folder) => {
    const blocked = join(folder, 'file');
    await writeFile(blocked, '');
    await symlink(blocked, join(folder, 'link'));
    const error = await t.throwsAsync(
      writeCheckpoint(join(folder, 'link', 'run'), sampleCheckpoint(1), { keep: 1 }),
    );
    t.true(error instanceof LockstepError && error.code === 'FILE_UNWRITABLE');
    t.true(error.message.includes('link'));
  }));
