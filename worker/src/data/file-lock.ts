/**
 * One process at a time: a lock file with its holder's name in it. Correctness does not hang on it,
 * since every file is written beside and renamed; it saves a second download and a spoilt partial file.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCode } from './file-trouble.ts';

interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly token: string;
}

const heartbeatMs = 5_000;
/** Twelve missed heartbeats. Converting blocks the holder's thread for a second or two at most. */
const staleAfterMs = 60_000;
const pollMs = 200;

/**
 * Whether a lock may be taken over. Pure.
 *
 * @param ageMs since the holder's last sign of life
 * @param alive whether the holder's process exists; asked only of a holder on this host
 */
export function judgeLock(
  holder: { readonly pid: number; readonly host: string } | null,
  ageMs: number,
  host: string,
  alive: (pid: number) => boolean,
): { readonly stale: boolean; readonly reason: string } {
  if (ageMs > staleAfterMs)
    return { stale: true, reason: `no sign of life for ${Math.round(ageMs / 1000)} s` };
  if (holder === null) return { stale: false, reason: 'being written' };
  if (holder.host === host && !alive(holder.pid))
    return { stale: true, reason: `process ${holder.pid} is gone` };
  return { stale: false, reason: `held by process ${holder.pid} on ${holder.host}` };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    // EPERM: it exists, but belongs to somebody else.
    return systemCode(thrown) === 'EPERM';
  }
}

async function readHolder(path: string): Promise<Holder | null> {
  try {
    const parsed: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof parsed !== 'object' || parsed === null) return null;
    const { pid, host, token } = parsed as Partial<Record<keyof Holder, unknown>>;
    if (typeof pid !== 'number' || typeof host !== 'string' || typeof token !== 'string') return null;
    return { pid, host, token };
  } catch {
    return null;
  }
}

async function tryTake(path: string, token: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx');
    try {
      await handle.writeFile(JSON.stringify({ pid: process.pid, host: hostname(), token }));
    } finally {
      await handle.close();
    }
    return true;
  } catch (thrown) {
    if (systemCode(thrown) === 'EEXIST') return false;
    await rm(path, { force: true });
    throw thrown;
  }
}

/** Moves a stale lock away; if a live one was caught instead, because somebody was quicker, puts it back. */
async function clearStale(path: string, judged: Holder | null): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  const caught = await readHolder(aside);
  if (caught !== null && caught.token !== judged?.token) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

async function waitWhileHeld(path: string): Promise<void> {
  const holder = await readHolder(path);
  let ageMs = 0;
  try {
    ageMs = Date.now() - (await stat(path)).mtimeMs;
  } catch {
    return;
  }
  if (judgeLock(holder, ageMs, hostname(), isAlive).stale) await clearStale(path, holder);
  else await sleep(pollMs);
}

/**
 * Runs `work` while holding the lock; waits for whoever holds it. A lock whose holder has died, or has
 * given no sign of life for a minute, is taken over.
 *
 * @param path the lock file; its folder is made if need be
 * @param signal ends the waiting (not the work) with the signal's reason
 */
export async function withLock<T>(path: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const token = randomUUID();
  while (!(await tryTake(path, token))) {
    signal?.throwIfAborted();
    await waitWhileHeld(path);
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, heartbeatMs);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    const holder = await readHolder(path);
    if (holder?.token === token) await rm(path, { force: true });
  }
}
