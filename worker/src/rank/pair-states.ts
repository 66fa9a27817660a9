/**
 * Two neighbouring shards are a subtree of the fixed tree, whatever the number of shards, so their gradients may share
 * one slot: who comes first writes his, who comes second adds his to it. That happens chunk by chunk, and a word for
 * each chunk says how far it has come, so that a shard may be computed again when its rank was lost in the middle: what
 * the lost rank had handed over stays, and what it was just doing is undone or finished here.
 */
import type { Layout } from '@lockstep/shared/model/layout.ts';
import type { Store } from './store.ts';

/** Floats of a slot that change hands together. */
export const pairChunkFloats = 16384;

/** States of a chunk: nobody's, or with the shard (0 or 1 of its pair) that brought about the state. */
export const empty = 0;
/** The first shard copies its gradient into the slot. */
export const writing = 2;
/** The slot holds the gradient of this shard alone. */
export const one = 4;
/** The second shard makes the sum in its journal; the slot is as it was. */
export const adding = 6;
/** The sum is in the second shard's journal and on its way into the slot. */
export const storing = 8;
/** The slot holds the sum. */
export const both = 10;

/** Parameters of a model with the first of their chunks. */
export interface ChunkedEntry {
  /** Floats [from, to) of the flat gradient. */
  readonly from: number;
  readonly to: number;
  readonly firstChunk: number;
}

/** Chunks end with parameters, since gradients come parameter by parameter. */
export function chunkEntries({ parameters }: Pick<Layout, 'parameters'>): ChunkedEntry[] {
  let firstChunk = 0;
  return parameters.map(({ offset, size }) => {
    const entry = { from: offset, to: offset + size, firstChunk };
    firstChunk += Math.ceil(size / pairChunkFloats);
    return entry;
  });
}

/** Chunks of one slot. */
export function pairChunkCount(layout: Pick<Layout, 'parameters'>): number {
  return layout.parameters.reduce((sum, { size }) => sum + Math.ceil(size / pairChunkFloats), 0);
}

/** The main thread's side: which shards are under way, and what becomes of a lost one. */
export class PairStates {
  private readonly store: Store;
  private readonly entries: readonly ChunkedEntry[];
  private readonly begun = new Set<number>();

  constructor(store: Store, layout: Pick<Layout, 'parameters'>) {
    this.store = store;
    this.entries = chunkEntries(layout);
  }

  /** Shards are about to be given out. One that was given out before begins anew, and with it its slot. */
  begin(shards: readonly number[]): void {
    for (const shard of shards) {
      if (this.begun.has(shard)) {
        this.store.pairWords(shard).fill(empty);
        this.begun.delete(shard ^ 1);
      }
      this.begun.add(shard);
    }
  }

  /**
   * A rank was lost with a shard, and does nothing any more: brings the chunk it was at into a state from which
   * the shard can go on.
   */
  recover(shard: number): void {
    const { store } = this;
    // A shard that is none has no place in the store, and nobody has done anything with it.
    if (shard >= store.layout.shardsPerStep) return;
    const words = store.pairWords(shard);
    const own = shard & 1;
    for (const { from, to, firstChunk } of this.entries) {
      for (let at = from, chunk = firstChunk; at < to; at += pairChunkFloats, chunk += 1) {
        const state = Atomics.load(words, chunk);
        if (state === writing + own) Atomics.store(words, chunk, empty);
        if (state === adding + own) Atomics.store(words, chunk, one + 1 - own);
        if (state !== storing + own) continue;
        const floats = Math.min(pairChunkFloats, to - at);
        store.slot(shard).set(store.journal(shard).subarray(0, floats), at);
        Atomics.store(words, chunk, both);
      }
    }
  }
}
