/**
 * Loaded before every test file: a file in a process of its own that hangs ends with an error that says where, and
 * nothing outlives it.
 *
 * ava notices a hang only when no file at all makes progress, and its signal does not reach what a test has started:
 * a child that holds ava's pipes would keep the whole suite from ending.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { isMainThread, Worker } from 'node:worker_threads';

/** The longest file takes three minutes on two busy cores; a machine that is several times as slow has no hang. */
const limitSeconds = 25 * 60;

/** A blocked main thread cannot end itself; it is ended from outside this much later (s). */
const graceSeconds = 20;

// In the fast tests of `npm run check` files are threads of one process, and somebody watches them.
if (isMainThread) watch();

function watch(): void {
  process.once('exit', () => endChildren(process.pid));
  process.once('SIGTERM', () => fail('was ended by SIGTERM'));
  setTimeout(() => fail(`is not done after ${limitSeconds} s`), limitSeconds * 1000).unref();

  const guard = new Worker(
    `setTimeout(() => process.kill(process.pid, 'SIGKILL'), ${(limitSeconds + graceSeconds) * 1000})`,
    { eval: true, execArgv: [], stdout: false },
  );
  guard.unref();
}

function fail(what: string): never {
  const children = childrenOf(process.pid).map((pid) => `  child ${pid}: ${commandOf(pid)}`);
  const resources = process.getActiveResourcesInfo().join(', ');
  process.stderr.write([`A test file ${what}`, `  active: ${resources}`, ...children, ''].join('\n'));
  process.exit(1);
}

/** Ends what this process has started, and what that has started. */
function endChildren(pid: number): void {
  for (const child of childrenOf(pid)) {
    endChildren(child);
    try {
      process.kill(child, 'SIGKILL');
    } catch {
      // It has ended in the meantime.
    }
  }
}

/** Linux only; elsewhere there is no such list, and nobody is ended. */
function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 200);
  } catch {
    return 'ended';
  }
}
