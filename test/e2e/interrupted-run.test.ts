/** A run that is interrupted, killed or cut off from its reader goes on and ends with the same bits. */

import { type ChildProcess, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { binary, lockstep } from '../helpers/command-line.ts';

const recipe = ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '64', '--shards', '4'];
const quiet = ['--json', '--no-baseline', '--no-evaluate', '--threads', '2'];
const length = ['--epochs', '8'];

/** Starts a run with a checkpoint every 8 steps and resolves once it has committed `step` steps. */
async function startRun(
  out: string,
  step: number,
): Promise<{ child: ChildProcess; ended: Promise<number | null> }> {
  const args = [binary, 'train', ...recipe, ...length, ...quiet, '--out', out, '--checkpoint-every', '8'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  await new Promise<void>((resolve) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += String(chunk);
      if (text.includes(`"type":"step","step":${step},`)) resolve();
    });
    child.once('close', () => resolve());
  });
  return { child, ended };
}

async function weightsOf(args: string[]): Promise<unknown> {
  const { objects, stderr, code } = await lockstep(['train', ...args, ...quiet]);
  const result = objects().at(-1);
  if (code !== 0 || result?.['type'] !== 'result') throw new Error(stderr);
  return result['weightsSha256'];
}

test.serial('Ctrl-C or kill -9, then --resume: the same weights as a run that was left alone', (t) =>
  withFolder(async (folder) => {
    const whole = await weightsOf([...recipe, ...length, '--out', join(folder, 'whole')]);

    const interrupted = join(folder, 'interrupted');
    const first = await startRun(interrupted, 20);
    first.child.kill('SIGINT');
    t.is(await first.ended, 130);
    t.is(await weightsOf(['--resume', interrupted]), whole);

    const killed = join(folder, 'killed');
    const second = await startRun(killed, 20);
    second.child.kill('SIGKILL');
    await second.ended;
    t.is(await weightsOf([...recipe, ...length, '--resume', '--out', killed]), whole);
    t.false((await readdir(killed)).some((name) => name.startsWith('.')));
  }),
);

test.serial('a run continued with more epochs equals one that had them from the start', (t) =>
  withFolder(async (folder) => {
    const run = join(folder, 'run');
    await weightsOf([...recipe, '--epochs', '1', '--out', run]);
    const longer = await weightsOf(['--resume', run, '--epochs', '2']);
    t.is(longer, await weightsOf([...recipe, '--epochs', '2', '--out', join(folder, 'straight')]));
  }),
);

test.serial('when the reader of the output goes away, the run saves and ends without a word', (t) =>
  withFolder(async (folder) => {
    const run = join(folder, 'run');
    const endless = [...recipe, ...quiet, '--epochs', '100000', '--out', run];
    const command = `"$0" "$@" | head -n 2; echo "codes \${PIPESTATUS[*]}"`;
    const child = spawn('bash', ['-c', command, process.execPath, binary, 'train', ...endless]);
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (output += String(chunk)));
    child.stderr.on('data', (chunk) => (errors += String(chunk)));
    await new Promise((resolve) => child.once('close', resolve));
    t.regex(output, /codes 141 0\n$/);
    t.is(errors, '');
    t.is((await readdir(run)).filter((name) => name.startsWith('checkpoint-')).length, 1);
  }),
);
