/** How often V8 looks for garbage in a process that passes many megabytes through its sockets. */
import v8 from 'node:v8';

/**
 * Buffers that come from a socket live outside V8's heap but count as pressure on it. With a heap as small as ours
 * (about 18 MB) a full collection followed every second step of ResNet-20, on a core that a rank needs. Large frames are
 * freed by hand now (`frame-pool.ts`); for the rest the heap and what hangs on it may grow to two and a half times
 * their size between two collections.
 */
export function collectGarbageSeldom(): void {
  v8.setFlagsFromString('--heap-growing-percent=150');
}
