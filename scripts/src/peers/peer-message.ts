/**
 * What a peer writes, one JSON object a line: `{"ready": {"version", "detail", "others"}}` once, then one
 * `{"imagesPerSecond", "steps", "peakBytes"}` for each `{"measure": seconds}` that it reads; `{"error"}` when it
 * cannot. Lines of libraries in between are no messages.
 */

export interface Ready {
  readonly kind: 'ready';
  /** Name and version of the library, for example `PyTorch 1.13.0`. */
  readonly version: string;
  /** What it chose for itself: build of the kernels, optimizer. */
  readonly detail: string;
  /** Ids of processes that it has started itself. */
  readonly others: readonly number[];
}

export interface Measured {
  readonly kind: 'measured';
  readonly imagesPerSecond: number;
  readonly steps: number;
  /** Largest resident memory so far, of all its processes; null where the system does not say. */
  readonly peakBytes: number | null;
}

export interface Failed {
  readonly kind: 'failed';
  readonly reason: string;
}

export type PeerMessage = Ready | Measured | Failed;

/** Reads one line; null when it is no message. */
export function parsePeerMessage(line: string): PeerMessage | null {
  const message = objectFrom(line);
  if (message === null) return null;
  const { ready, error, imagesPerSecond, steps, peakBytes } = message;
  if (typeof error === 'string') return { kind: 'failed', reason: error };
  if (isObject(ready)) {
    const others = Array.isArray(ready['others']) ? ready['others'].filter(isPositive) : [];
    return {
      kind: 'ready',
      version: String(ready['version'] ?? ''),
      detail: String(ready['detail'] ?? ''),
      others,
    };
  }
  if (!isPositive(imagesPerSecond) || !isPositive(steps)) return null;
  return { kind: 'measured', imagesPerSecond, steps, peakBytes: isPositive(peakBytes) ? peakBytes : null };
}

/** The request for a measurement of about so many seconds, as a line. */
export function measureRequest(seconds: number): string {
  return JSON.stringify({ measure: seconds });
}

/** Reads a request; null when it is none. */
export function parseMeasureRequest(line: string): number | null {
  const seconds = objectFrom(line)?.['measure'];
  return isPositive(seconds) ? seconds : null;
}

/** The object that a line of JSON holds; null for anything else. */
export function objectFrom(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null;
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

export function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
