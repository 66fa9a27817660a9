/** A rank's side of parts: gradients go into the slot, and subtrees into outboxes, while `backward` goes on. */
import { type GradientRange, gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { GradientPiece } from '@lockstep/shared/model/parameter-places.ts';
import type { Side } from './control.ts';
import { PairSums } from './pair-sums.ts';
import type { SliceSums } from './slice-sums.ts';
import type { SubtreeOutlet } from './tasks.ts';
import type { Workbench } from './workbench.ts';

export class PartProgress {
  private readonly bench: Workbench;
  private readonly sums: SliceSums;
  private readonly ranges: readonly GradientRange[];
  /** Null where every shard has a slot of its own. */
  private readonly pairs: PairSums | null;
  private readonly onPass: (part: number) => void;

  /** @param onPass a part of a shard lies in its slot */
  constructor(bench: Workbench, sums: SliceSums, onPass: (part: number) => void) {
    this.onPass = onPass;
    this.bench = bench;
    this.sums = sums;
    this.pairs = bench.store.layout.pairChunks === undefined ? null : new PairSums(bench);
    this.ranges = gradientParts(layOut(bench.setup.model));
  }

  /** Pieces of a shard's gradient are final: puts them into the slot. @param side that the step reads, as in `moments` */
  take(pieces: readonly GradientPiece[], shard: number, side: Side = 0): void {
    const { arena, store } = this.bench;
    for (const piece of pieces) {
      const { from, to, place } = piece;
      if (this.pairs) this.pairs.take(piece, shard, side);
      else store.slot(shard).set(arena.float32(place, to - from), from);
    }
  }

  /** A shard without samples has a gradient of zeros. */
  finishEmpty(shard: number, subtree: SubtreeOutlet | undefined, side: Side = 0): void {
    if (this.pairs) this.pairs.takeZeros(shard, side);
    else this.bench.store.slot(shard).fill(0);
    for (const part of this.ranges.keys()) this.pass(part, shard, subtree);
  }

  /** A part of a shard lies in its slot. Whoever comes last of a subtree's shards sums the part into the outbox. */
  pass(part: number, shard: number, subtree: SubtreeOutlet | undefined): void {
    const { control } = this.bench.store;
    control.pass(shard, part + 1);
    this.onPass(part);
    if (!subtree) return;
    for (let other = subtree.from; other < subtree.from + subtree.width; other++) {
      if (control.passed(other) <= part) return;
    }
    // Two ranks may come last at the same moment.
    if (!control.takePart(subtree.outbox, part)) return;
    const notFinite = this.sums.collect(subtree, this.ranges[part] as GradientRange);
    control.finishPart(subtree.outbox, part, notFinite);
  }
}
