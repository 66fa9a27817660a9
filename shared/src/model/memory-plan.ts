/**
 * Places buffers with known lifetimes into as little memory as is easily had: largest first, each at the
 * lowest place that is free during its whole life (greedy by size; Pisarchyk & Lee, "Efficient memory
 * management for deep neural net inference", 2020).
 */

export interface Lifetime {
  readonly bytes: number;
  /** First and last call that touches it, inclusive. */
  readonly from: number;
  readonly to: number;
}

/** Every buffer starts on a cache line. */
export const bufferAlignment = 64;

/** Rounds up to the buffers' alignment. */
export function align(bytes: number): number {
  return Math.ceil(bytes / bufferAlignment) * bufferAlignment;
}

/** Rounds up to the pages of WebAssembly, of which a memory has whole ones. */
export function wholePages(bytes: number): number {
  return Math.ceil(bytes / 65536) * 65536;
}

const pageBytes = 4096;
/** Buffers from so many bytes on are read and written as streams. */
const streamBytes = 4 * pageBytes;

/**
 * Bytes that a buffer takes. Activations are powers of two, and streams that begin at the same place of a page share the
 * few sets of a first-level cache; so large buffers are whole pages and some cache lines, each another number of them.
 */
function room(bytes: number, index: number): number {
  if (bytes < streamBytes) return align(bytes);
  const linesOfPage = pageBytes / bufferAlignment;
  return Math.ceil(bytes / pageBytes) * pageBytes + bufferAlignment * ((7 * index) % linesOfPage);
}

export interface MemoryPlan {
  /** Offset of each buffer, in the order given, from 0. */
  readonly offsets: readonly number[];
  readonly bytes: number;
}

/** Two buffers that are alive at the same time never overlap. */
export function planMemory(buffers: readonly Lifetime[]): MemoryPlan {
  const bySize = buffers
    .map((buffer, index) => ({ index, from: buffer.from, to: buffer.to, bytes: room(buffer.bytes, index) }))
    .toSorted((a, b) => b.bytes - a.bytes || a.index - b.index);
  const placed: { offset: number; end: number; from: number; to: number }[] = [];
  const offsets = buffers.map(() => 0);
  let bytes = 0;
  for (const buffer of bySize) {
    const alive = placed
      .filter((other) => other.from <= buffer.to && buffer.from <= other.to)
      .toSorted((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const other of alive) {
      if (offset + buffer.bytes <= other.offset) break;
      offset = Math.max(offset, other.end);
    }
    offsets[buffer.index] = offset;
    placed.push({ offset, end: offset + buffer.bytes, from: buffer.from, to: buffer.to });
    bytes = Math.max(bytes, offset + buffer.bytes);
  }
  return { offsets, bytes };
}
