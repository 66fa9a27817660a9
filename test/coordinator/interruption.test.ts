import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { decideSignal } from '@lockstep/coordinator/interruption.ts';
import test from 'ava';

test('first press aborts, an echo of it is ignored, the second ends the process', (t) => {
  t.is(decideSignal(null, 1000), 'abort');
  t.is(decideSignal(1000, 1005), 'ignore');
  t.is(decideSignal(1000, 1200), 'exit');
});

const script = join(import.meta.dirname, '../helpers/interrupted-process.ts');

/** Resolves once the child's output ends with `text`. */
function says(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve) => {
    let all = '';
    const look = (chunk: unknown) => {
      all += String(chunk);
      if (!all.includes(text)) return;
      child.stdout?.off('data', look);
      resolve();
    };
    child.stdout?.on('data', look);
  });
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`a process: ${signal} is announced and aborts, once more exits with ${code}`, async (t) => {
    const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await says(child, 'ready');
    child.kill(signal);
    await says(child, `announced ${signal}\naborted`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    t.is(await ended, code);
  });
}
