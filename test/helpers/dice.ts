/** Random choices from a seed, in order: the same seed, the same choices. */
import { philox } from '@lockstep/shared/base/random.ts';

export class Dice {
  private readonly key: readonly [number, number];
  private readonly stream: number;
  private counter = 0;
  private words: number[] = [];

  /** @param stream separates dice of one seed */
  constructor(seed: number, stream: number) {
    this.key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
    this.stream = stream >>> 0;
  }

  word(): number {
    if (this.words.length === 0) {
      this.words = philox(this.counter++, this.stream, 0, 0x0d1ce, this.key[0], this.key[1]);
    }
    return this.words.pop() as number;
  }

  /** An integer from 0 to n - 1. */
  below(n: number): number {
    return Math.floor((this.word() / 2 ** 32) * n);
  }

  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with a probability. */
  chance(probability: number): boolean {
    return this.word() < probability * 2 ** 32;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  bytes(length: number): Buffer<ArrayBuffer> {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at += 4) {
      const word = this.word();
      for (let i = 0; i < 4 && at + i < length; i++) bytes[at + i] = word >>> (8 * i);
    }
    return bytes;
  }
}
