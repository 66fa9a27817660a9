/** Buffers of the arena that have no place yet, and pointers into them. */
import type { Run } from './run-sharing.ts';

/** A buffer of the arena; `place` is set for regions that are fixed in advance. */
export class Buffer {
  readonly name: string;
  /** Of weights that pass, and of what only one run touches, only known when the tape is finished. */
  bytes: number;
  place: number | null;
  from = Number.POSITIVE_INFINITY;
  to = Number.NEGATIVE_INFINITY;
  /** The run of all calls that touch it, each of them the images of its range only; null: there is none. */
  run: Run | null | undefined;
  /** Bytes of one image in it, where there is such a run. */
  bytesOfImage = 0;
  /** What a call leaves in it nobody else reads. */
  readonly isScratch: boolean;

  constructor(name: string, bytes: number, place: number | null = null, isScratch = false) {
    this.name = name;
    this.bytes = bytes;
    this.place = place;
    this.isScratch = isScratch;
  }

  /** What one range of images leaves in it nobody reads in the next one, which may overwrite it. */
  get isOfOneRange(): boolean {
    return (this.run?.ranges ?? 1) > 1;
  }

  /** A pointer to `byteOffset` inside. */
  at(byteOffset: number): Pointer {
    return { buffer: this, byteOffset };
  }
}

export interface Pointer {
  readonly buffer: Buffer;
  readonly byteOffset: number;
  /** The pointer leads to the first image of a range, images having so many bytes. */
  readonly imageBytes?: number;
}

/** What may stand for an argument before offsets are known. */
export type Argument = number | Buffer | Pointer;
