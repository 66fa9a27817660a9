/** Calls to a thread: every answer is waited for, and a thread that is gone fails them. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

test('the answer to one call does not let the process end while another is awaited', async (t) => {
  const script = join(import.meta.dirname, '../../helpers/thread-port-process.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script]);
  t.is(stdout, '0 300, then Error: the thread has ended');
});
