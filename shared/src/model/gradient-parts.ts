/**
 * Parts of the flat gradient that can be summed and sent while the backward pass still runs. It finishes the
 * gradient from its end towards its start, so part 0 is the last one of the vector.
 */
import type { Layout } from './layout.ts';
import type { GradientPiece } from './parameter-places.ts';
import type { Step } from './program.ts';

/** Most parts of a gradient. */
export const largestPartCount = 8;

/** Below this many floats a part's messages cost main threads more than its head start saves ranks (docs/log.md). */
const smallestPart = 98_304;
/** The last part has no head start: ranks wait for all of its way, there and back. */
const smallestLastPart = 16_384;

/** Floats [from, to) of the flat gradient. */
export interface GradientRange {
  readonly from: number;
  readonly to: number;
}

/**
 * A weight with what follows it, bias or gamma and beta: backward comes to them together, so they lie together and are
 * handed over together. Of ResNet-20's 59 parameters 39 hold at most 64 floats.
 */
export function gradientGroups({ parameters }: Pick<Layout, 'parameters'>): GradientRange[] {
  const groups: { from: number; to: number }[] = [];
  for (const { role, offset, size } of parameters) {
    const last = groups.at(-1);
    if (role === 'weight' || last === undefined) groups.push({ from: offset, to: offset + size });
    else last.to = offset + size;
  }
  return groups;
}

/** Main threads ask in every step. */
const cutLayouts = new WeakMap<Layout, readonly GradientRange[]>();

/**
 * Cuts a gradient between groups. Each part takes a third of what is left: the first ones have all of the
 * backward pass to travel in, the last one none, so that is as small as it may be. The same for every shard size.
 */
export function gradientParts(layout: Layout): readonly GradientRange[] {
  const known = cutLayouts.get(layout);
  if (known !== undefined) return known;
  const parts: GradientRange[] = [];
  cutLayouts.set(layout, parts);
  const groups = gradientGroups(layout);
  let to = layout.parameterCount;
  const cut = (from: number): void => {
    parts.push({ from, to });
    to = from;
  };
  for (const { from } of groups.toReversed()) {
    const size = to - from;
    const isEnough = size >= smallestPart && 3 * size >= to && from >= 2 * smallestPart;
    if (isEnough && parts.length < largestPartCount - 2) cut(from);
  }
  const last = groups.find(({ from }) => from >= smallestLastPart)?.from ?? to;
  if (to - last >= smallestPart) cut(last);
  cut(0);
  return parts;
}

/** A part with the call of the backward section behind which all of it is final. */
export interface GradientPart extends GradientRange {
  /** Number of calls of `backward` that have to be made. */
  readonly calls: number;
}

/**
 * Parts and pieces of a program's gradient.
 *
 * @param gradients byte offset of the flat gradient in the arena; null when it is never there as a whole
 * @param pieces its groups then
 */
export function gradientOutlets(
  layout: Layout,
  backward: readonly Step[],
  gradients: number | null,
  pieces: readonly GradientPiece[],
): { parts: GradientPart[]; pieces: readonly GradientPiece[] } {
  if (gradients !== null) {
    const parts = placeParts(layout, backward, gradients);
    return { parts, pieces: parts.map((part) => ({ ...part, place: gradients + 4 * part.from })) };
  }
  let calls = 0;
  const parts = gradientParts(layout).map(({ from, to }, index, all) => {
    for (const piece of pieces)
      if (piece.from >= from && piece.to <= to) calls = Math.max(calls, piece.calls);
    if (index === all.length - 1) calls = backward.length;
    return { from, to, calls };
  });
  return { parts, pieces };
}

/**
 * Finds after which call each part is final: the last one that has a pointer into the part or behind it.
 *
 * @param gradients byte offset of the gradient in the arena
 */
function placeParts(layout: Layout, backward: readonly Step[], gradients: number): GradientPart[] {
  const end = gradients + 4 * layout.parameterCount;
  const lastCall = new Map<number, number>();
  const starts = new Set(layout.parameters.map(({ offset }) => gradients + 4 * offset));
  backward.forEach(({ call }, at) => {
    // An argument that only looks like a pointer makes a part final later than it is, never earlier.
    for (const value of call.values) if (value < end && starts.has(value)) lastCall.set(value, at + 1);
  });
  let calls = 0;
  return gradientParts(layout).map(({ from, to }, index, all) => {
    for (const [address, count] of lastCall) {
      const offset = (address - gradients) / 4;
      if (offset >= from && offset < to) calls = Math.max(calls, count);
    }
    // Whatever a call may still do, the last part ends with the section.
    if (index === all.length - 1) calls = backward.length;
    return { from, to, calls };
  });
}
