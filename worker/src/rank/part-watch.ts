/** A node's side of parts: told of every part of a subtree's sum as soon as it lies in its outbox. */
import { type GradientRange, gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import type { Layout } from '@lockstep/shared/model/layout.ts';
import type { Store } from './store.ts';

/** Floats [from, to) of a subtree's sum, to be had with `store.outbox(outbox, from, to, bytesPerFloat[dtype])`. */
export interface FinishedPart extends GradientRange {
  readonly part: number;
  /** Sums that are NaN or infinite as they would travel: nothing of the subtree may be sent. */
  readonly notFinite: number;
}

/**
 * Opens an outbox and watches it; to be called before tasks name it. A shard's task counts only from its own
 * `control.begin(shard)` on, which has to come before it is given out.
 *
 * When a rank was lost with a shard of the subtree, call `store.control.reopenTaken(outbox)` before the shard is given
 * out again: the lost rank may have been the one that was summing.
 *
 * @param onPart called once for each part, in the order in which the backward pass finishes them
 * @returns ends it; also to be called when all parts have come
 */
export function watchParts(
  store: Store,
  layout: Layout,
  outbox: number,
  onPart: (part: FinishedPart) => void,
): () => void {
  const ranges = gradientParts(layout);
  let told = 0;
  store.control.openOutbox(outbox);
  return store.control.watch(() => {
    for (; told < ranges.length; told++) {
      const notFinite = store.control.finished(outbox, told);
      if (notFinite === null) return;
      onPart({ part: told, ...(ranges[told] as GradientRange), notFinite });
    }
  });
}
