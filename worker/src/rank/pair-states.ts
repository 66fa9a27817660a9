/**
 * Two neighbouring shards are a subtree of the fixed tree, whatever the number of shards, so their gradients may share
 * one slot: who comes first writes his, who comes second adds his to it. That happens chunk by chunk, and a word for
 * each chunk says how far it has come, so that a shard may be computed again when its rank was lost in the middle: what
 * the lost rank had handed over stays, and what it was just doing is undone or finished here.
 */
import { gradientGroups } from '@lockstep/shared/model/gradient-parts.ts';
import type { Layout } from '@lockstep/shared/model/layout.ts';
import type { Side, Store } from './store.ts';

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

/** A group of parameters with the first of its chunks. */
export interface ChunkedEntry {
  /** Floats [from, to) of the flat gradient. */
  readonly from: number;
  readonly to: number;
  readonly firstChunk: number;
}

/** Chunks end with groups, since gradients come group by group. */
export function chunkEntries(layout: Pick<Layout, 'parameters'>): ChunkedEntry[] {
  let firstChunk = 0;
  return gradientGroups(layout).map(({ from, to }) => {
    const entry = { from, to, firstChunk };
    firstChunk += Math.ceil((to - from) / pairChunkFloats);
    return entry;
  });
}

/** Chunks of one slot. */
export function pairChunkCount(layout: Pick<Layout, 'parameters'>): number {
  return gradientGroups(layout).reduce(
    (sum, { from, to }) => sum + Math.ceil((to - from) / pairChunkFloats),
    0,
  );
}

/** The main thread's side: which shards are under way, and what becomes of a lost one. */
export class PairStates {
  private readonly store: Store;
  private readonly side: Side;
  private readonly entries: readonly ChunkedEntry[];
  private readonly begun = new Set<number>();

  /** @param side that the steps read whose shards these are */
  constructor(store: Store, layout: Pick<Layout, 'parameters'>, side: Side) {
    this.store = store;
    this.side = side;
    this.entries = chunkEntries(layout);
  }

  /** Shards are about to be given out. One that was given out before begins anew, and with it its slot. */
  begin(shards: readonly number[]): void {
    for (const shard of shards) {
      if (this.begun.has(shard)) {
        this.store.pairWords(shard, this.side).fill(empty);
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
    const words = store.pairWords(shard, this.side);
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
