/**
 * Packing the weights of a step is cut into units, which ranks that share what is packed take one after the other: each
 * copies some of the flat weights to where its calls read them, and makes the calls.
 */
import type { Step } from './program.ts';

/** Floats [from, to) of the flat weights, running statistics included. */
export interface FloatRange {
  readonly from: number;
  readonly to: number;
}

export interface WeightUnit extends FloatRange {
  /** Byte offset at which `steps` expect float `from`. */
  readonly place: number;
  /** What is to be called then; it reads these floats only, and writes what no other unit writes. */
  readonly steps: readonly Step[];
}

/**
 * Puts a unit's weights where its calls read them.
 *
 * @param weights flat, parameters and running statistics
 * @param memory the floats of the program's memory, 4 bytes of it each
 */
export function placeWeights(
  { from, to, place }: WeightUnit,
  weights: Float32Array | Float64Array,
  memory: Float32Array | Float64Array,
): void {
  memory.set(weights.subarray(from, to), place / 4);
}

/**
 * Units hold at least about so many floats, 128 KiB, so that taking one costs nothing beside it; and hardly more, so that
 * nobody waits long for who has the last one.
 */
export const unitFloats = 32_768;

/**
 * Cuts what calls read into ranges that no call reads across. Pure.
 *
 * @param reads in any order; several may read the same floats
 * @returns in order of the floats; neighbours are put together while they stay below `largest`
 */
export function cutIntoUnits(reads: readonly FloatRange[], largest = unitFloats): FloatRange[] {
  const units: { from: number; to: number }[] = [];
  let atom: { from: number; to: number } | null = null;
  const close = (): void => {
    if (atom === null) return;
    const last = units.at(-1);
    if (last !== undefined && last.to === atom.from && atom.to - last.from <= largest) last.to = atom.to;
    else units.push(atom);
  };
  for (const { from, to } of reads.toSorted((a, b) => a.from - b.from)) {
    if (atom !== null && from < atom.to) {
      atom.to = Math.max(atom.to, to);
      continue;
    }
    close();
    atom = { from, to };
  }
  close();
  return units;
}
