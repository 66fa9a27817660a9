/**
 * The fixed tree: a range of shards splits at the largest power of two below its width. Floating point
 * addition is not associative, so this tree, and no other order, is part of the result.
 */

/** Where a range of `width` > 1 leaves splits: the number of leaves on the left. */
export function splitWidth(width: number): number {
  return 1 << (31 - Math.clz32(width - 1));
}

/**
 * Combines the leaves 0..width-1 in the fixed tree.
 *
 * @param leaf gives the value of one leaf; called once each, from left to right
 */
export function combineTree<T>(width: number, leaf: (index: number) => T, combine: (a: T, b: T) => T): T {
  const range = (from: number, size: number): T => {
    if (size === 1) return leaf(from);
    const left = splitWidth(size);
    const a = range(from, left);
    return combine(a, range(from + left, size - left));
  };
  if (!Number.isInteger(width) || width < 1) throw new RangeError(`a tree of ${width} leaves`);
  return range(0, width);
}

/**
 * Combines whatever ranges of the tree are known; the larger one counts where several are.
 *
 * @param known the value of a whole subtree, or null
 * @returns null unless the known ranges cover the tree
 */
export function combineKnown<T>(
  width: number,
  known: (from: number, width: number) => T | null,
  combine: (a: T, b: T) => T,
): T | null {
  const range = (from: number, size: number): T | null => {
    const whole = known(from, size);
    if (whole !== null || size === 1) return whole;
    const left = splitWidth(size);
    const a = range(from, left);
    const b = a === null ? null : range(from + left, size - left);
    return a === null || b === null ? null : combine(a, b);
  };
  return range(0, width);
}
