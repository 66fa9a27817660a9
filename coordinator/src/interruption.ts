/** Ctrl-C: the first press ends the run after its step, the second ends the process. */

import { tolerateClosedPipe } from './terminal/output.ts';

/** Two signals closer than this (ms) are one press: the terminal and a launcher may both deliver it. */
const samePress = 200;

export type SignalDecision = 'abort' | 'exit' | 'ignore';

/**
 * What a signal means.
 *
 * @param firstAt when the first one came, or null
 * @param now milliseconds, the same clock
 */
export function decideSignal(firstAt: number | null, now: number): SignalDecision {
  if (firstAt === null) return 'abort';
  return now - firstAt < samePress ? 'ignore' : 'exit';
}

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGPIPE: 141 } as const;

type EndingSignal = keyof typeof exitCodes;

export interface Interruption {
  /** Aborted by the first signal, or when the reader of standard output has gone. */
  readonly signal: AbortSignal;
  /** 128 + the signal's number once aborted, as shells expect it; null before. */
  readonly exitCode: () => number | null;
  /** Gives the signals back to the process. */
  readonly dispose: () => void;
}

/**
 * Listens to SIGINT, SIGTERM and SIGHUP until disposed.
 *
 * @param announce called at the first signal, to tell the user what happens now
 */
export function interruptible(announce: (cause: EndingSignal) => void): Interruption {
  const controller = new AbortController();
  let firstAt: number | null = null;
  let cause: EndingSignal | null = null;
  const onSignal = (name: EndingSignal) => {
    const now = performance.now();
    const decision = decideSignal(firstAt, now);
    if (decision === 'exit') {
      // The shell's prompt should not end up behind a half-drawn bar.
      if (process.stdout.isTTY) process.stdout.write('\n');
      process.exit(exitCodes[name]);
    }
    if (decision === 'ignore') return;
    firstAt = now;
    cause = name;
    if (name !== 'SIGPIPE') announce(name);
    controller.abort(new Error(`ended by ${name}`));
  };
  tolerateClosedPipe(() => {
    if (!controller.signal.aborted) onSignal('SIGPIPE');
  });
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const handlers = names.map((name) => [name, () => onSignal(name)] as const);
  for (const [name, handler] of handlers) process.on(name, handler);
  return {
    signal: controller.signal,
    exitCode: () => (cause === null ? null : exitCodes[cause]),
    dispose: () => {
      for (const [name, handler] of handlers) process.off(name, handler);
    },
  };
}
