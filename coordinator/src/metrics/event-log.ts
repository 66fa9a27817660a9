/** The run's log: every event as a JSON line in `<run folder>/events.jsonl`, bounded in size. */
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { RunEvent, RunListener } from './events.ts';

export const eventLogName = 'events.jsonl';
const olderName = 'events.1.jsonl';

/** Bytes of a log; when it is full it becomes the older one, and that one goes. */
const defaultLimit = 16 * 2 ** 20;

/**
 * A listener that keeps what it hears. A log that cannot be written is given up with one notice: it is no
 * reason to end a run.
 */
export function eventLog(runDirectory: string, notice: RunListener, limit = defaultLimit): RunListener {
  const path = join(runDirectory, eventLogName);
  let bytes: number | null = null;
  let broken = false;
  return (event) => {
    if (broken || event.type === 'evaluation-progress') return;
    const line = `${JSON.stringify({ at: new Date().toISOString(), ...withoutToken(event) })}\n`;
    try {
      bytes ??= sizeOf(path, runDirectory);
      // Names of nodes and reasons need not be ASCII.
      const size = Buffer.byteLength(line);
      if (bytes + size > limit) {
        renameSync(path, join(runDirectory, olderName));
        bytes = 0;
      }
      appendFileSync(path, line);
      bytes += size;
    } catch (thrown) {
      broken = true;
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      notice({ type: 'notice', text: `The log ${path} cannot be written: ${why}.` });
    }
  };
}

function sizeOf(path: string, folder: string): number {
  mkdirSync(folder, { recursive: true });
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** A generated token is shown once, on the terminal; it is never written down. */
function withoutToken(event: RunEvent): RunEvent {
  return event.type === 'listening'
    ? { ...event, join: event.join.replace(/--token \S+/, '--token ...') }
    : event;
}
