/** Nobody is left behind, stopped: not even when this process is killed and cannot tidy up. */
import { spawn } from 'node:child_process';

/** A shell that reads until its input ends, and then continues the processes that it was given. */
const script = 'while read -r line; do :; done; kill -CONT "$@" 2> /dev/null';

/**
 * Continues processes when this one ends, however it does: the system closes its pipes then. In a session of its own, so
 * that Ctrl-C does not end the shell first.
 *
 * @param ids that may be stopped, on systems that have such signals
 */
export function wakeAtTheEnd(ids: readonly number[]): void {
  const stdio = ['pipe', 'ignore', 'ignore'] as const;
  const waker = spawn('sh', ['-c', script, 'waker', ...ids.map(String)], {
    detached: true,
    stdio: [...stdio],
  });
  waker.on('error', () => {
    // Without a shell they depend on an end in good order, as they would have anyway.
  });
  waker.unref();
}
