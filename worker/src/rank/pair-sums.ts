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
import { pairScheduleBytes } from './store.ts';
import type { Workbench } from './workbench.ts';

/** Looks at a chunk that the other rank is at before sleeping: copying one takes a few microseconds. */
const looks = 2000;

/** Left plus right, for `treeSum`. */
const sumOfTwo = [0, 1, -1];

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
  }

  /** Hands over the gradient of one parameter. What an earlier attempt at the shard has handed over stays. */
  take({ from, to, place }: GradientPiece, shard: number): void {
    this.handOver(from, to, shard, this.bench.arena.float32(place, to - from));
  }

  /** A shard without samples has a gradient of zeros. */
  takeZeros(shard: number): void {
    for (const { from, to } of this.entries.values()) this.handOver(from, to, shard, null);
  }

  private handOver(from: number, to: number, shard: number, gradient: Float32Array | null): void {
    const { bench } = this;
    const begun = performance.now();
    const entry = this.entries.get(from);
    if (entry?.to !== to) throw new Error(`floats ${from}..${to} are no parameter's`);
    if (gradient === null) bench.store.arena.float32(this.incoming, pairChunkFloats).fill(0);
    const chunks = Math.ceil((to - from) / pairChunkFloats);
    for (let i = 0; i < chunks; i++) {
      // From opposite ends: ranks that work at the same speed would otherwise meet at every chunk.
      const chunk = (shard & 1) === 0 ? i : chunks - 1 - i;
      const at = chunk * pairChunkFloats;
      const floats = Math.min(pairChunkFloats, to - from - at);
      this.chunk(entry.firstChunk + chunk, from + at, shard, floats, gradient?.subarray(at, at + floats));
    }
    bench.account('reduction', begun);
  }

  /** Hands over floats [at, at + floats). */
  private chunk(word: number, at: number, shard: number, floats: number, gradient?: Float32Array): void {
    const words = this.bench.store.pairWords(shard);
    const own = shard & 1;
    const other = 1 - own;
    for (let look = 0; ; look++) {
      const state = Atomics.load(words, word);
      if (state === empty) {
        if (Atomics.compareExchange(words, word, empty, writing + own) !== empty) continue;
        this.write(at, shard, floats, gradient);
        Atomics.store(words, word, one + own);
        return;
      }
      if (state === one + other) {
        Atomics.store(words, word, adding + own);
        this.add(at, shard, floats, gradient);
        Atomics.store(words, word, storing + own);
        const { layout } = this.bench.store;
        const journal = layout.journals + shard * 4 * pairChunkFloats;
        const slot = layout.slots + (shard >> 1) * layout.slotBytes + 4 * at;
        this.bench.storeKernels.roundFloats(journal, floats, dtypeCodes.f32, slot);
        Atomics.store(words, word, both);
        return;
      }
      if (state !== writing + other) {
        // It is in already. A chunk that this shard's lost rank was at has been recovered before anybody tries again.
        if (state === writing + own || state === adding + own || state === storing + own) {
          throw new Error(`chunk ${word} of shard ${shard} was not recovered`);
        }
        return;
      }
      // Nobody rings: either the other rank is done in a moment, or it sleeps or is lost, and then time does not matter.
      if (look > looks) Atomics.wait(words, word, state, 1);
    }
  }

  /** The slot takes the gradient alone, rounded as every leaf of the tree is. */
  private write(at: number, shard: number, floats: number, gradient?: Float32Array): void {
    const { store, storeKernels } = this.bench;
    if (gradient && this.dtype === dtypeCodes.f32) {
      store.slot(shard).set(gradient, at);
      return;
    }
    if (gradient) store.arena.float32(this.incoming, floats).set(gradient);
    const slot = store.layout.slots + (shard >> 1) * store.layout.slotBytes + 4 * at;
    storeKernels.roundFloats(this.incoming, floats, this.dtype, slot);
  }

  /** The shard's journal takes the sum of both, as the node of the tree has it. */
  private add(at: number, shard: number, floats: number, gradient?: Float32Array): void {
    const { store, storeKernels } = this.bench;
    const { layout, arena } = store;
    if (gradient) arena.float32(this.incoming, floats).set(gradient);
    arena.int32(this.schedule, sumOfTwo.length).set(sumOfTwo);
    const slot = layout.slots + (shard >> 1) * layout.slotBytes + 4 * at;
    const [left, right] = (shard & 1) === 0 ? [this.incoming, slot] : [slot, this.incoming];
    const journal = layout.journals + shard * 4 * pairChunkFloats;
    const order = [this.schedule, sumOfTwo.length] as const;
    // Two leaves of a tree, the right one so many bytes behind the left one, perhaps a negative number.
    storeKernels.treeSum(left, right - left, ...order, 0, floats, this.dtype, journal, this.scratch);
  }
}
