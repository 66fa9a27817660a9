/**
 * Downloads one tarball into a partial file, and goes on where an earlier attempt (or an earlier process)
 * stopped. The caller holds the lock of the partial file.
 */
import { open, rm, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { type DownloadPlan, planDownload, retryDelay } from './download-plan.ts';
import { megabytes, systemCode, writeTrouble } from './file-trouble.ts';
import { checksumOf, digestFile } from './integrity.ts';
import type { TarballLocation } from './npm-client.ts';
import type { OnProgress } from './progress.ts';

export interface DownloadOptions {
  /** Bytes of the whole file as far as known in advance. */
  readonly expectedBytes: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Attempts in a row that bring no byte before giving up. Default 4. */
  readonly attempts?: number | undefined;
  /** No byte for this long counts as a cut connection. Default 30 s. */
  readonly idleMs?: number | undefined;
}

/** How a download ended, where it did not end in an error. */
export type DownloadOutcome =
  | { readonly kind: 'done' }
  /** Not to be had this way: the server refused, or was never reached. Nothing is left on disk. */
  | { readonly kind: 'refused'; readonly reason: string };

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}

/** A write that failed: told apart from a network that failed. */
class WriteFailed extends Error {}

interface Attempt {
  readonly plan: DownloadPlan;
  /** Bytes that this attempt brought. */
  readonly gained: number;
  /** Why the body ended early, or null. */
  readonly cut: string | null;
}

function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause;
  return cause instanceof Error ? `${thrown.message}: ${systemCode(cause) || cause.message}` : thrown.message;
}

async function writeBody(
  body: ReadableStream<Uint8Array>,
  partial: string,
  plan: DownloadPlan & { action: 'append' | 'restart' },
  have: number,
  options: DownloadOptions,
  touch: () => void,
): Promise<{ gained: number; cut: string | null }> {
  const totalBytes = plan.totalBytes ?? options.expectedBytes;
  const handle = await open(partial, plan.action === 'append' ? 'a' : 'w');
  let doneBytes = plan.action === 'append' ? have : 0;
  let gained = 0;
  try {
    for await (const chunk of body) {
      touch();
      try {
        await handle.appendFile(chunk);
      } catch (thrown) {
        throw new WriteFailed('write', { cause: thrown });
      }
      gained += chunk.length;
      doneBytes += chunk.length;
      options.onProgress?.({ phase: 'download', doneBytes, totalBytes, file: basename(partial, '.partial') });
    }
  } catch (thrown) {
    if (thrown instanceof WriteFailed) throw thrown.cause;
    return { gained, cut: reasonOf(thrown) };
  } finally {
    await handle.close();
  }
  const short = plan.totalBytes !== null && doneBytes < plan.totalBytes;
  return { gained, cut: short ? `the connection ended after ${doneBytes} bytes` : null };
}

async function attemptDownload(url: string, partial: string, options: DownloadOptions): Promise<Attempt> {
  const have = await sizeOf(partial);
  const idle = new AbortController();
  const idleMs = options.idleMs ?? 30_000;
  const timer = setTimeout(() => idle.abort(new Error(`no byte for ${idleMs / 1000} s`)), idleMs);
  const signals = options.signal === undefined ? [idle.signal] : [idle.signal, options.signal];
  try {
    // The length of the tarball counts, so no transfer compression; a second one would not help anyway.
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (have > 0) headers['range'] = `bytes=${have}-`;
    const response = await fetch(url, { headers, signal: AbortSignal.any(signals) });
    const plan = planDownload(have, {
      status: response.status,
      contentRange: response.headers.get('content-range'),
      contentLength: response.headers.get('content-length'),
    });
    const writes = plan.action === 'append' || plan.action === 'restart';
    if (!writes || response.body === null) {
      await response.body?.cancel();
      return { plan, gained: 0, cut: null };
    }
    return { plan, ...(await writeBody(response.body, partial, plan, have, options, () => timer.refresh())) };
  } catch (thrown) {
    options.signal?.throwIfAborted();
    const fromDisk = writeTrouble(thrown, dirname(partial), options.expectedBytes);
    if (fromDisk instanceof LockstepError) throw fromDisk;
    return { plan: { action: 'retry', reason: reasonOf(thrown) }, gained: 0, cut: null };
  } finally {
    clearTimeout(timer);
  }
}

/** Fetches until every byte is here; see `downloadTarball`. */
async function fetchBytes(url: string, partial: string, options: DownloadOptions): Promise<DownloadOutcome> {
  const attempts = options.attempts ?? 4;
  let reason = '';
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const { plan, gained, cut } = await attemptDownload(url, partial, options);
    options.signal?.throwIfAborted();
    reason = cut ?? plan.reason;
    if (plan.action === 'complete') return { kind: 'done' };
    if (plan.action === 'refused') {
      await rm(partial, { force: true });
      return { kind: 'refused', reason };
    }
    if (plan.action === 'discard') await rm(partial, { force: true });
    if ((plan.action === 'append' || plan.action === 'restart') && cut === null) return { kind: 'done' };
    // A connection that brings something may be cut as often as it likes.
    if (gained > 0) attempt = 0;
    if (attempt < attempts) await sleep(retryDelay(attempt), undefined, signalOf(options));
  }
  const have = await sizeOf(partial);
  if (have === 0) return { kind: 'refused', reason };
  throw new LockstepError(
    'DATA_OFFLINE',
    `The download stopped after ${megabytes(have)} of ${megabytes(options.expectedBytes)} (${reason}).`,
    'Run the same command again: it goes on where it stopped.',
    { file: partial, haveBytes: have, reason },
  );
}

function signalOf(options: DownloadOptions): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}

/**
 * Downloads a tarball and checks it against the registry's checksum.
 *
 * @param partial path of the partial file; holds the whole tarball when the outcome is `done`
 * @throws LockstepError DATA_OFFLINE when the connection fails half-way (the bytes stay for next time),
 *   DATA_CORRUPT when the checksum is wrong twice, DISK_FULL and FILE_UNWRITABLE (nothing is left)
 */
export async function downloadTarball(
  location: TarballLocation,
  partial: string,
  options: DownloadOptions,
): Promise<DownloadOutcome> {
  const checksum = checksumOf(location);
  const file = basename(partial, '.partial');
  try {
    for (let round = 1; ; round++) {
      const outcome = await fetchBytes(location.url, partial, options);
      if (outcome.kind === 'refused' || checksum === null) return outcome;
      const totalBytes = await sizeOf(partial);
      const found = await digestFile(partial, checksum.algorithm, 'base64', (doneBytes) =>
        options.onProgress?.({ phase: 'verify', doneBytes, totalBytes, file }),
      );
      if (found === checksum.digest) return outcome;
      await rm(partial, { force: true });
      // Once may be a partial file that something spoilt; twice is the server.
      if (round < 2) continue;
      throw new LockstepError(
        'DATA_CORRUPT',
        `${file} is not what the registry says: ${checksum.algorithm} expected ${checksum.digest}, found ${found}.`,
        'Something between here and the registry changes the file; try another network, or --from PATH.',
        { file, expected: checksum.digest, found },
      );
    }
  } catch (thrown) {
    const trouble = writeTrouble(thrown, dirname(partial), options.expectedBytes);
    if (trouble instanceof LockstepError && trouble.code === 'DISK_FULL') await rm(partial, { force: true });
    throw trouble;
  }
}
