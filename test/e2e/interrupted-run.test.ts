/** A run that is interrupted, killed or cut off from its reader goes on and ends with the same bits. */

import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { alterManifest, withFolder } from '../helpers/checkpoint-sample.ts';
import { endless } from '../helpers/cluster.ts';
import { binary } from '../helpers/command-line.ts';
import {
  bare,
  type RunningTraining,
  savedSteps,
  trainEvents,
  trainResult,
  trainUntil,
} from '../helpers/training-process.ts';

const recipe = ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '64', '--shards', '4'];
const quiet = [...bare, '--threads', '2'];

/** Starts a run without an end and with a checkpoint every 8 steps; resolves once it has committed `step` steps. */
function startRun(out: string, step: number): Promise<RunningTraining> {
  return trainUntil([...recipe, ...endless, ...quiet, '--out', out, '--checkpoint-every', '8'], step);
}

async function weightsOf(args: string[]): Promise<string> {
  return (await trainResult([...args, ...quiet])).weightsSha256;
}

test.serial('Ctrl-C or kill -9, then --resume: the same weights as a run that was left alone', (t) =>
  withFolder(async (folder) => {
    const interrupted = join(folder, 'interrupted');
    const first = await startRun(interrupted, 20);
    first.child.kill('SIGINT');
    t.is(await first.ended, 130);

    const killed = join(folder, 'killed');
    const second = await startRun(killed, 20);
    second.child.kill('SIGKILL');
    t.is(await second.ended, null);

    // How far they came was up to the machine.
    const saved = await Promise.all([interrupted, killed].map(savedSteps));
    t.true((saved[0] ?? 0) >= 20 && (saved[1] ?? 0) >= 16, saved.join());
    const length = ['--steps', String(Math.max(...saved) + 40)];
    const whole = await weightsOf([...recipe, ...length, '--out', join(folder, 'whole')]);
    t.is(await weightsOf(['--resume', interrupted, ...length]), whole);
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

test.serial('a checkpoint that other code has computed goes on, and the user is told', (t) =>
  withFolder(async (folder) => {
    const notices = async (): Promise<string> => {
      const events = await trainEvents(['--resume', folder, '--steps', '6', ...quiet]);
      return events.map((event) => (event.type === 'notice' ? event.text : '')).join(' ');
    };
    await weightsOf([...recipe, '--steps', '4', '--out', folder]);
    const manifest = join(folder, 'checkpoint-00000004', 'manifest.json');
    await alterManifest(manifest, (it) => Object.assign(it, { numerics: '0'.repeat(64) }), true);
    t.regex(await notices(), /goes on after step 4.*another version of Lockstep.*000000000000/);
    t.notRegex(await notices(), /another version/, 'the next one is this version’s own');
  }),
);

test.serial('when the reader of the output goes away, the run saves and ends without a word', (t) =>
  withFolder(async (folder) => {
    const run = join(folder, 'run');
    const args = [...recipe, ...endless, ...quiet, '--json', '--out', run];
    const command = `"$0" "$@" | head -n 2; echo "codes \${PIPESTATUS[*]}"`;
    const child = spawn('bash', ['-c', command, process.execPath, binary, 'train', ...args]);
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
