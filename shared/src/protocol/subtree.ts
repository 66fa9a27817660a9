/**
 * Partial sums in the fixed tree of `reduce/tree.ts`: which ranges of shards may travel as one sum, and in which
 * order the sums that came are added, so that the bits are those of the whole tree.
 */
import { splitWidth } from '../reduce/tree.ts';
import type { Subtree } from './messages.ts';

/** Whether the shards [from, from + width) are a subtree of the tree of `leaves` leaves; a single shard is one. */
export function isSubtree(leaves: number, { from, width }: Subtree): boolean {
  if (!Number.isInteger(from) || !Number.isInteger(width) || from < 0 || width < 1) return false;
  let start = 0;
  let size = leaves;
  while (size > width) {
    const left = splitWidth(size);
    if (from < start + left) size = left;
    else {
      start += left;
      size -= left;
    }
  }
  return start === from && size === width;
}

/** Numbers of the shards of a subtree, in order. */
export function shardsOf({ from, width }: Subtree): number[] {
  return Array.from({ length: width }, (_, i) => from + i);
}

/** How many shards subtrees have, none of them twice. */
export function shardCount(subtrees: readonly Pick<Subtree, 'width'>[]): number {
  return subtrees.reduce((sum, { width }) => sum + width, 0);
}

/** The fewest subtrees whose union is the shards [from, from + width), from left to right. */
export function decompose(leaves: number, { from, width }: Subtree): Subtree[] {
  const found: Subtree[] = [];
  const end = from + width;
  const visit = (start: number, size: number): void => {
    if (start >= end || start + size <= from) return;
    if (start >= from && start + size <= end) {
      found.push({ from: start, width: size });
      return;
    }
    const left = splitWidth(size);
    visit(start, left);
    visit(start + left, size - left);
  };
  if (from < 0 || end > leaves || width < 0) throw new RangeError(`shards ${from}..${end} of ${leaves}`);
  if (width > 0) visit(0, leaves);
  return found;
}

export type SummationSchedule =
  | {
      readonly ok: true;
      /** Postfix: k >= 0 pushes the sum of cover k, -1 adds the two topmost, the lower one on the left. */
      readonly program: Int32Array;
      /** Most sums on the stack at a time. */
      readonly depth: number;
    }
  | { readonly ok: false; readonly reason: string };

/**
 * The order of additions that turns the covers' sums into the sum of all `leaves` shards. Refused unless the
 * covers are subtrees and each shard lies in exactly one.
 */
export function summationSchedule(leaves: number, covers: readonly Subtree[]): SummationSchedule {
  const slotAt = new Map<number, number>();
  let covered = 0;
  for (const [slot, cover] of covers.entries()) {
    const name = `shards ${cover.from}..${cover.from + cover.width - 1}`;
    if (!isSubtree(leaves, cover)) return { ok: false, reason: `${name} are no subtree of ${leaves} shards` };
    if (slotAt.has(cover.from)) return { ok: false, reason: `shard ${cover.from} comes twice` };
    slotAt.set(cover.from, slot);
    covered += cover.width;
  }
  const program: number[] = [];
  let depth = 0;
  let trouble: string | null = null;
  const visit = (from: number, width: number, below: number): void => {
    const slot = slotAt.get(from);
    if (slot !== undefined && covers[slot]?.width === width) {
      program.push(slot);
      depth = Math.max(depth, below + 1);
    } else if (width === 1) {
      trouble ??= `shard ${from} is missing, or comes twice`;
    } else {
      const left = splitWidth(width);
      visit(from, left, below);
      visit(from + left, width - left, below + 1);
      program.push(-1);
    }
  };
  if (leaves < 1 || !Number.isInteger(leaves)) return { ok: false, reason: `a tree of ${leaves} shards` };
  visit(0, leaves, 0);
  if (trouble !== null) return { ok: false, reason: trouble };
  // Every shard is covered once; a cover that was not visited lies inside another one.
  if (covered !== leaves)
    return { ok: false, reason: `the sums hold ${covered} shards instead of ${leaves}` };
  return { ok: true, program: Int32Array.from(program), depth };
}
