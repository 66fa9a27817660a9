/** What to do with a server's answer to a request for the rest of a file. Pure. */

export type DownloadPlan =
  /** The body goes behind the bytes that are here. */
  | { readonly action: 'append'; readonly totalBytes: number | null; readonly reason: string }
  /** The body is the whole file: begin anew. */
  | { readonly action: 'restart'; readonly totalBytes: number | null; readonly reason: string }
  /** Nothing is left to fetch. */
  | { readonly action: 'complete'; readonly reason: string }
  /** What is here is of no use: delete it and ask again. */
  | { readonly action: 'discard'; readonly reason: string }
  /** Trouble that may pass. */
  | { readonly action: 'retry'; readonly reason: string }
  /** The server will not give it to us. */
  | { readonly action: 'refused'; readonly reason: string };

export interface Answer {
  readonly status: number;
  readonly contentRange: string | null;
  readonly contentLength: string | null;
}

function wholeNumber(text: string | null | undefined): number | null {
  return text !== null && text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}

/** @param haveBytes bytes of the file that are on this disk; the request asked for the rest */
export function planDownload(haveBytes: number, answer: Answer): DownloadPlan {
  const { status } = answer;
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(answer.contentRange ?? '');
  const total = wholeNumber(range?.[2]);
  if (status === 200) {
    const totalBytes = wholeNumber(answer.contentLength);
    return { action: 'restart', totalBytes, reason: 'the server sends the whole file' };
  }
  if (status === 206) {
    if (wholeNumber(range?.[1]) === haveBytes) {
      return { action: 'append', totalBytes: total, reason: `going on at byte ${haveBytes}` };
    }
    return { action: 'discard', reason: 'the server sends another part than was asked for' };
  }
  if (status === 416) {
    if (total === haveBytes) return { action: 'complete', reason: 'every byte is here' };
    return { action: 'discard', reason: `${haveBytes} bytes are here, but the file has ${total ?? 'other'}` };
  }
  if (status === 408 || status === 429 || status >= 500)
    return { action: 'retry', reason: `status ${status}` };
  return { action: 'refused', reason: `status ${status}` };
}

/** Milliseconds before attempt `attempt` (from 1): 0.5 s, 1 s, 2 s, and no more than 8 s. */
export function retryDelay(attempt: number): number {
  return Math.min(8_000, 250 * 2 ** attempt);
}
