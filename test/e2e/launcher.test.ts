/** The launcher, on a made-up old Node: it hands over to another runtime and ends as that one ends. */

import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { binary } from '../helpers/command-line.ts';

/** Takes the place of the command line: `exit N` ends, `wait` counts the SIGINTs it gets within half a second. */
const standIn = `
export async function main(args: string[], version: string): Promise<number> {
  console.log('stand-in ' + version + ' ' + args.join(' '));
  if (args[0] === 'exit') return Number(args[1]);
  let count = 0;
  process.on('SIGINT', () => count++);
  console.log('waiting');
  while (count === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setTimeout(resolve, 500));
  console.log('interrupts ' + count);
  return 5;
}`;

/** A repository in miniature: the launcher with a check that takes the first process for too old. */
async function miniature(folder: string): Promise<string> {
  const files = {
    'coordinator/package.json': '{"type": "module", "version": "1.2.3"}',
    'coordinator/src/cli.ts': standIn,
    'coordinator/bin/lockstep.js': (await readFile(binary, 'utf8')).replace(
      'if (isNewEnough(process.versions.node)) {',
      'if (process.env.LOCKSTEP_LAUNCHER) {',
    ),
    'node_modules/.bin/node': `#!/bin/sh\nexec '${process.execPath}' "$@"\n`,
  };
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  await chmod(join(folder, 'node_modules/.bin/node'), 0o755);
  return join(folder, 'coordinator/bin/lockstep.js');
}

function start(
  script: string,
  args: string[],
): { child: ChildProcess; output: () => string; closed: Promise<number | null> } {
  const { LOCKSTEP_LAUNCHER: _, ...env } = process.env;
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'], env });
  let text = '';
  child.stdout.on('data', (chunk) => (text += String(chunk)));
  // `close` comes when the last process that holds the pipe has ended, the launcher's child included.
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, output: () => text, closed };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

test('arguments go in, the exit code comes out', (t) =>
  withFolder(async (folder) => {
    const { output, closed } = start(await miniature(folder), ['exit', '7', '--json', 'a b']);
    t.is(await closed, 7);
    t.is(output(), 'stand-in 1.2.3 exit 7 --json a b\n');
  }));

test('a signal reaches the child once, and its exit code counts', (t) =>
  withFolder(async (folder) => {
    const { child, output, closed } = start(await miniature(folder), ['wait']);
    await until(() => output().includes('waiting'));
    child.kill('SIGINT');
    t.is(await closed, 5);
    t.regex(output(), /interrupts 1\n$/);
  }));

test('a launcher that is killed takes the child with it', (t) =>
  withFolder(async (folder) => {
    const { child, output, closed } = start(await miniature(folder), ['wait']);
    await until(() => output().includes('waiting'));
    child.kill('SIGKILL');
    await closed;
    t.is(child.signalCode, 'SIGKILL');
  }));
