/** A rank's side of slots that two shards share: see `pair-states.ts`. */
import { dtypeCodes } from '@lockstep/shared/kernels/short-floats.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { GradientPiece } from '@lockstep/shared/model/parameter-places.ts';
import {
  adding,
  both,
  type ChunkedEntry,
  chunkEntries,
  empty,
  one,
  pairChunkFloats,
  storing,
  writing,
} from './pair-states.ts';
import { pairScheduleBytes, type Side } from './store.ts';
import type { Workbench } from './workbench.ts';

/** Looks at a chunk that the other rank is at before sleeping: copying one takes a few microseconds. */
const looks = 2000;

/** Left plus right, for `treeSum`. */
const sumOfTwo = [0, 1, -1];

/** Some floats of a group's gradient. */
interface Chunk {
  readonly n: number;
  /** Index among the arena's floats; null: zeros, which lie in `incoming` already. */
  readonly source: number | null;
  /** Byte offsets in the store. */
  readonly slot: number;
  readonly journal: number;
}

export class PairSums {
  private readonly bench: Workbench;
  private readonly dtype: number;
  /** By the entry's first float. */
  private readonly entries: ReadonlyMap<number, ChunkedEntry>;
  /** Byte offsets in the store of this rank's copy of a chunk, the order of summation and the tree's scratch. */
  private readonly incoming: number;
  private readonly schedule: number;
  private readonly scratch: number;

  constructor(bench: Workbench) {
    this.bench = bench;
    const { layout } = bench.store;
    this.dtype = dtypeCodes[bench.setup.recipe.wireDtype];
    this.entries = new Map(chunkEntries(layOut(bench.setup.model)).map((entry) => [entry.from, entry]));
    this.incoming = layout.pairScratch + bench.setup.index * layout.pairScratchBytes;
    this.schedule = this.incoming + 4 * pairChunkFloats;
    this.scratch = this.schedule + pairScheduleBytes;
    bench.store.arena.int32(this.schedule, sumOfTwo.length).set(sumOfTwo);
  }

  /** Hands over the gradient of a group. What an earlier attempt at the shard has handed over stays. */
  take({ from, to, place }: GradientPiece, shard: number, side: Side): void {
    this.handOver(from, to, shard, side, place / 4);
  }

  /** A shard without samples has a gradient of zeros. */
  takeZeros(shard: number, side: Side): void {
    this.bench.store.arena.float32(this.incoming, pairChunkFloats).fill(0);
    for (const { from, to } of this.entries.values()) this.handOver(from, to, shard, side, null);
  }

  /** @param gradient index of float `from` among the arena's floats; null: zeros, which lie in `incoming` already */
  private handOver(from: number, to: number, shard: number, side: Side, gradient: number | null): void {
    const begun = performance.now();
    const entry = this.entries.get(from);
    if (entry?.to !== to) throw new Error(`floats ${from}..${to} are no group's`);
    const { slots, slotBytes, journals, pairWords, pairChunks = 0 } = this.bench.store.layout;
    const pair = shard >> 1;
    const slot = slots + pair * slotBytes + 4 * from;
    const firstWord = pairWords[side] / 4 + pair * pairChunks + entry.firstChunk;
    const journal = journals + shard * 4 * pairChunkFloats;
    const chunks = Math.ceil((to - from) / pairChunkFloats);
    for (let i = 0; i < chunks; i++) {
      // From opposite ends: ranks that work at the same speed would otherwise meet at every chunk.
      const chunk = (shard & 1) === 0 ? i : chunks - 1 - i;
      const at = chunk * pairChunkFloats;
      const n = Math.min(pairChunkFloats, to - from - at);
      const source = gradient === null ? null : gradient + at;
      this.chunk(firstWord + chunk, { n, source, slot: slot + 4 * at, journal }, shard & 1);
    }
    this.bench.account('reduction', begun, 'hand gradients over', 8 * (to - from));
  }

  /** Hands over a chunk. @param word index of its state among the store's integers @param own 0 or 1 of the pair */
  private chunk(word: number, chunk: Chunk, own: number): void {
    const words = this.bench.store.arena.integers;
    const other = 1 - own;
    for (let look = 0; ; look++) {
      const state = Atomics.load(words, word);
      if (state === empty) {
        if (Atomics.compareExchange(words, word, empty, writing + own) !== empty) continue;
        this.write(chunk);
        Atomics.store(words, word, one + own);
        return;
      }
      if (state === one + other) {
        Atomics.store(words, word, adding + own);
        this.add(chunk, own);
        Atomics.store(words, word, storing + own);
        this.bench.storeKernels.roundFloats(chunk.journal, chunk.n, dtypeCodes.f32, chunk.slot);
        Atomics.store(words, word, both);
        return;
      }
      if (state !== writing + other) {
        // It is in already. A chunk that this shard's lost rank was at has been recovered before anybody tries again.
        if (state === writing + own || state === adding + own || state === storing + own) {
          throw new Error('a chunk whose rank was lost was not recovered');
        }
        return;
      }
      // Nobody rings: either the other rank is done in a moment, or it sleeps or is lost, and then time does not matter.
      if (look > looks) Atomics.wait(words, word, state, 1);
    }
  }

  /** The slot takes the gradient alone, rounded as every leaf of the tree is. */
  private write({ n, source, slot }: Chunk): void {
    if (source !== null && this.dtype === dtypeCodes.f32) {
      this.copy(source, n, slot);
      return;
    }
    if (source !== null) this.copy(source, n, this.incoming);
    this.bench.storeKernels.roundFloats(this.incoming, n, this.dtype, slot);
  }

  /** The shard's journal takes the sum of both, as the node of the tree has it. */
  private add({ n, source, slot, journal }: Chunk, own: number): void {
    if (source !== null) this.copy(source, n, this.incoming);
    const left = own === 0 ? this.incoming : slot;
    const right = own === 0 ? slot : this.incoming;
    // Two leaves of a tree, the right one so many bytes behind the left one, perhaps a negative number.
    const leaves = [left, right - left, this.schedule, sumOfTwo.length] as const;
    this.bench.storeKernels.treeSum(...leaves, 0, n, this.dtype, journal, this.scratch);
  }

  /** From the arena into the store. */
  private copy(source: number, n: number, to: number): void {
    const { arena, store } = this.bench;
    store.arena.floats.set(arena.floats.subarray(source, source + n), to / 4);
  }
}
