/**
 * A hall: one shared memory with the arenas of several ranks, around one copy of the weights that they have packed together.
 * With a memory for each rank, every rank would pack all weights once a step, and ResNet-18 on 16 cores would
 * spend a quarter of its time on that. WebAssembly ends at 4 GiB, so many ranks sit in several halls.
 */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { largestArenaBytes } from '@lockstep/shared/model/compile.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { HelpBoard, helpWords } from './help-board.ts';
import { PackingBoard, packingWords } from './packing-board.ts';

/** What a run's programs need. */
export interface RankSpace {
  /** Bytes up to where a rank's own may begin: packed weights and what else ranks only read. */
  readonly sharedBytes: number;
  /** Bytes that each rank has for itself. */
  readonly ownBytes: number;
  /** Units of packing, at most. */
  readonly units: number;
}

/** A rank's place in a hall. Plain data but for the memories, so that it can be posted to its thread. */
export interface HallSeat {
  readonly memory: WebAssembly.Memory;
  /** Of the hall's packing board. */
  readonly words: SharedArrayBuffer;
  /** Of its board of helpers. */
  readonly helpWords: SharedArrayBuffer;
  /** Ranks that sit in the hall, and which of them this one is. */
  readonly seats: number;
  readonly seat: number;
  /** Byte offset at which the rank's own begin. */
  readonly ownAt: number;
  readonly ownBytes: number;
}

/** How ranks are divided: in as few halls as hold them, about equally many in each. */
export interface HallPlan {
  readonly halls: number;
  readonly seats: number;
  /** Bytes of one hall. */
  readonly hallBytes: number;
}

/** Pure. @throws LockstepError ARENA_TOO_LARGE when not even one rank has room */
export function planHalls({ sharedBytes, ownBytes }: RankSpace, ranks: number): HallPlan {
  const most = Math.floor((largestArenaBytes - sharedBytes) / ownBytes);
  if (most < 1) {
    const bytes = sharedBytes + ownBytes;
    throw new LockstepError(
      'ARENA_TOO_LARGE',
      `A rank needs an arena of ${(bytes / 2 ** 30).toFixed(2)} GiB; WebAssembly ends at 4 GiB.`,
      'Take more shardsPerStep or a smaller batchSize.',
      { bytes, limit: largestArenaBytes },
    );
  }
  const halls = Math.ceil(ranks / most);
  const seats = Math.ceil(ranks / halls);
  return { halls, seats, hallBytes: sharedBytes + seats * ownBytes };
}

/** Bytes that the ranks of a process take. */
export interface MemoryUse {
  /** Of one rank: its arena. */
  readonly arenaBytes: number;
  /** Packed weights, of all halls. */
  readonly packedBytes: number;
  /** Weights, optimizer state, gradients. */
  readonly storeBytes: number;
}

/** Pure. @throws LockstepError ARENA_TOO_LARGE */
export function memoryUse(space: RankSpace, ranks: number, storeBytes: number): MemoryUse {
  const { halls } = planHalls(space, ranks);
  return { arenaBytes: space.ownBytes, packedBytes: halls * space.sharedBytes, storeBytes };
}

export class Halls {
  private readonly space: RankSpace;
  private readonly seats: number;
  private readonly all: readonly Pick<HallSeat, 'memory' | 'words' | 'helpWords'>[];

  /** @throws LockstepError ARENA_TOO_LARGE when WebAssembly or the machine cannot give that much */
  constructor(space: RankSpace, ranks: number) {
    const { halls, seats, hallBytes } = planHalls(space, ranks);
    this.space = space;
    this.seats = seats;
    this.all = Array.from({ length: halls }, () => ({
      memory: Arena.allocate(hallBytes).memory,
      words: new SharedArrayBuffer(4 * packingWords(seats, space.units)),
      helpWords: new SharedArrayBuffer(4 * helpWords(seats)),
    }));
  }

  /** Where a rank sits. @param index of the rank in its pool */
  seat(index: number): HallSeat {
    const hall = this.all[Math.floor(index / this.seats)];
    if (hall === undefined) throw new RangeError(`no hall has a seat for rank ${index}`);
    const { sharedBytes, ownBytes } = this.space;
    const { seats } = this;
    const seat = index % seats;
    return { ...hall, seats, seat, ownAt: sharedBytes + seat * ownBytes, ownBytes };
  }

  /** The rank's thread has ended: what it held is free, what it packed is anybody's, and runs that it shared are broken. */
  release(index: number): void {
    const { words, helpWords: help, seats, seat } = this.seat(index);
    new PackingBoard(words, seats, seat).release();
    new HelpBoard(help, seats, seat).release();
  }
}
