/** Runs on a disk that is full: one error, earlier checkpoints whole, nothing half-written. Real processes. */

import { spawn } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { verifyCheckpoint } from '@lockstep/coordinator/checkpoint/verify.ts';
import test, { type ExecutionContext } from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { binary } from '../helpers/command-line.ts';
import { bare, trainResult } from '../helpers/training-process.ts';

/** Weights of 332 KiB, and two vectors of Adam's state as large: a checkpoint is a little below 1 MiB. */
const recipe = [
  '--model',
  'lenet5',
  '--dataset',
  'synthetic',
  '--batch-size',
  '64',
  '--shards',
  '4',
  ...bare,
];

interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a bash script; `$0` is Node and `$@` the command line with these arguments. */
async function bash(script: string, args: readonly string[]): Promise<Said> {
  const child = spawn('bash', ['-c', script, process.execPath, binary, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, stdout, stderr };
}

/** One DISK_FULL, and in the run's folder exactly these checkpoints, each whole. */
async function ranOutOfRoom(t: ExecutionContext, said: Said, run: string, steps: number[]): Promise<void> {
  t.is(said.code, 1, said.stderr);
  t.is(said.stderr.match(/^error /gm)?.length, 1, said.stderr);
  t.regex(
    said.stderr,
    /^error DISK_FULL: No room to write .*checkpoint-\d+ .*older checkpoints are untouched/,
  );
  t.regex(said.stderr, /--keep.*--out.*--resume/);
  t.notRegex(said.stderr, /\n {4}at /);
  t.regex(said.stdout, /\{"type":"error","code":"DISK_FULL"[^\n]+\n$/);
  t.false(said.stdout.includes('"type":"result"'));
  const names = steps.map((step) => `checkpoint-${String(step).padStart(8, '0')}`);
  t.deepEqual((await readdir(run)).toSorted(), names);
  for (const [index, name] of names.entries()) {
    t.is((await verifyCheckpoint(join(run, name))).step, steps[index]);
  }
}

test.serial('files may not grow: the run ends at its next checkpoint, and goes on when there is room', (t) =>
  withFolder(async (folder) => {
    const run = join(folder, 'run');
    const whole = await trainResult([...recipe, '--steps', '8', '--out', join(folder, 'whole')]);
    await trainResult([...recipe, '--steps', '4', '--checkpoint-every', '2', '--out', run]);
    // Blocks of 1 KiB: a manifest has room, the weights have not.
    const more = ['train', '--resume', run, '--steps', '8', '--checkpoint-every', '2', ...bare, '--json'];
    const said = await bash('ulimit -f 128; exec "$0" "$@"', more);
    await ranOutOfRoom(t, said, run, [2, 4]);
    const resumed = await trainResult(['--resume', run, '--steps', '8', ...bare]);
    t.is(resumed.weightsSha256, whole.weightsSha256);
  }),
);

test.serial('files may not grow, and there is no checkpoint yet: the folder of the run is gone', (t) =>
  withFolder(async (folder) => {
    const out = join(folder, 'run');
    const args = ['train', ...recipe, '--steps', '8', '--checkpoint-every', '2', '--out', out, '--json'];
    const said = await bash('ulimit -f 128; exec "$0" "$@"', args);
    t.is(said.code, 1);
    t.regex(said.stderr, /^error DISK_FULL: /);
    t.deepEqual(await readdir(folder), []);
  }),
);

test.serial('a disk of 2.5 MiB that fills up: the two checkpoints that fit stay', (t) =>
  withFolder(async (folder) => {
    const disk = join(folder, 'disk');
    const kept = join(folder, 'kept');
    await mkdir(disk);
    await mkdir(kept);
    // In a mount namespace of its own: nobody else sees the disk, and it is gone with the last process in it.
    const isolate = 'unshare --user --map-root-user --mount';
    const mounts = `mount -t tmpfs -o size=2560k tmpfs '${disk}'`;
    const possible = await bash(`${isolate} sh -c "${mounts}"`, []);
    if (possible.code !== 0) {
      t.log(`A small disk cannot be mounted here, so ulimit alone covers this: ${possible.stderr.trim()}`);
      t.pass();
      return;
    }
    const run = join(disk, 'run');
    const length = ['--steps', '20', '--checkpoint-every', '2', '--keep', '9'];
    const script = `${mounts} && { "$0" "$@"; code=$?; cp -a '${disk}/.' '${kept}'; exit $code; }`;
    const args = ['train', ...recipe, ...length, '--out', run, '--json'];
    const said = await bash(`exec ${isolate} bash -c '${script.replaceAll("'", `'\\''`)}' "$0" "$@"`, args);
    t.regex(said.stderr, /ENOSPC/);
    await ranOutOfRoom(t, said, join(kept, 'run'), [2, 4]);
    t.deepEqual(await readdir(disk), []);
    const resumed = await trainResult(['--resume', join(kept, 'run'), '--steps', '6', ...bare]);
    t.is(resumed.steps, 6);
  }),
);
