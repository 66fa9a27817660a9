/**
 * Counter-based random numbers: `(seed, stream, counter) -> value`, no state anywhere, so that any
 * rank can draw the numbers of any sample and always draws the same ones.
 *
 * Philox 4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */

/** What a number is drawn for. A stream never shares numbers with another one. */
export const randomStreams = {
  initialise: 1,
  shuffle: 2,
  augment: 3,
  dropout: 4,
  synthetic: 5,
} as const;

export type RandomStream = keyof typeof randomStreams;

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const middle2 = aLow * bHigh + (middle % 0x10000);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(middle2 / 0x10000)) >>> 0;
}

export type Quad = [number, number, number, number];

/** The Philox 4x32-10 block function: four counter words and two key words to four random words. */
export function philox(c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): Quad {
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(M0, c0);
    const low0 = Math.imul(M0, c0) >>> 0;
    const high1 = multiplyHigh(M1, c2);
    const low1 = Math.imul(M1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c1 = low1;
    c3 = low0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/**
 * Four random 32-bit words for one counter.
 *
 * @param seed the recipe's seed, an integer below 2^53 (both halves enter the key)
 * @param a, b, c the counter: for example epoch, sample, draw; unsigned 32-bit integers
 */
export function randomWords(seed: number, stream: RandomStream, a: number, b = 0, c = 0): Quad {
  const low = seed >>> 0;
  const high = Math.floor(seed / 0x100000000) >>> 0;
  return philox(a >>> 0, b >>> 0, c >>> 0, randomStreams[stream], low, high);
}

/** A word as a float64 in [0, 1): 32 bits of it. */
export function toUnit(word: number): number {
  return word / 0x100000000;
}

/** A word as an integer in [0, n), n <= 2^20; the bias is below n / 2^32. */
export function toIndex(word: number, n: number): number {
  return Math.floor((word / 0x100000000) * n);
}

/**
 * The image of index `i` under a random permutation of 0..n-1, computed alone: a Feistel network on
 * the smallest even number of bits that holds n, walked until the value falls below n
 * (Black & Rogaway, "Ciphers with arbitrary finite domains", 2002).
 */
export function permuteIndex(seed: number, epoch: number, n: number, i: number): number {
  let halfBits = 1;
  while (4 ** halfBits < n) halfBits++;
  const mask = 2 ** halfBits - 1;
  let value = i;
  do {
    let left = Math.floor(value / (mask + 1));
    let right = value & mask;
    for (let round = 0; round < 6; round++) {
      const mixed = randomWords(seed, 'shuffle', right, epoch, round)[0] & mask;
      [left, right] = [right, (left ^ mixed) & mask];
    }
    value = left * (mask + 1) + right;
  } while (value >= n);
  return value;
}
