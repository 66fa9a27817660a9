/** The pieces in which the flat gradient travels, and new weights after it: the same for everybody in a run. */
import { gradientParts } from '../model/gradient-parts.ts';
import type { Layout } from '../model/layout.ts';
import type { Limits } from './limits.ts';
import type { WireDtype } from './messages.ts';
import { cutParts, type Part } from './ranges.ts';

/** Blocks in the order in which the backward pass finishes them: parts of the gradient, cut to the size of a frame. */
export function gradientBlocks(layout: Layout, dtype: WireDtype, limits: Pick<Limits, 'partBytes'>): Part[] {
  return gradientParts(layout).flatMap(({ from, to }) => cutParts(from, to, dtype, limits));
}
