/** Sleeping until another thread has changed something: it writes what there is to see, then rings. */

/**
 * Sleeps until `ready` says so.
 *
 * @param words int32 of shared memory; the one at `bell` counts how often it was rung
 * @param ready looks at what is written before the bell is rung
 * @returns false when `milliseconds` have passed first
 */
export function sleepUntil(
  words: Int32Array<SharedArrayBuffer>,
  bell: number,
  ready: () => boolean,
  milliseconds: number,
): boolean {
  const end = performance.now() + milliseconds;
  for (;;) {
    const seen = Atomics.load(words, bell);
    if (ready()) return true;
    const left = end - performance.now();
    if (left <= 0) return false;
    Atomics.wait(words, bell, seen, left);
  }
}

/** Whoever sleeps there, or waits asynchronously, looks again. @param most that are woken */
export function ring(
  words: Int32Array<SharedArrayBuffer>,
  bell: number,
  most = Number.POSITIVE_INFINITY,
): void {
  Atomics.add(words, bell, 1);
  Atomics.notify(words, bell, most);
}
