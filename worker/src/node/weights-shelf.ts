/** Where a node puts the weights that arrive: two sides of the store, so that a step's never lie on the step before's. */
import type { CoordinatorMessage } from '@lockstep/shared/protocol/messages.ts';
import type { RankHost } from '../rank/rank-host.ts';
import type { Side, Store } from '../rank/store.ts';

export class WeightsShelf {
  private readonly store: Store;
  private readonly wire: RankHost['wire'];
  private arriving: number | null = null;
  private wholeStep: number | null = null;
  /** The newest step whose parameters ranks have been told of. */
  private computableStep: number | null = null;
  private distrusted = false;

  constructor({ store, wire }: Pick<RankHost, 'store' | 'wire'>) {
    this.store = store;
    this.wire = wire;
    // Of a connection before: whatever they are, they are not what this one has been given.
    for (const side of [0, 1] as const) store.control.withdrawWeights(side);
  }

  /** The step whose weights are all here. */
  get step(): number | null {
    return this.wholeStep;
  }

  /** Whether ranks can compute with the weights of a step. */
  isComputable(step: number): boolean {
    return this.computableStep === step;
  }

  /** Whether ranks may hold weights that are not the run's: they get no work until others have come. */
  get isDistrusted(): boolean {
    return this.distrusted;
  }

  /** A part of a step's weights. */
  take({ step, from, to, dtype }: CoordinatorMessage<'weights'>, payload: Uint8Array): void {
    if (this.arriving !== step) {
      this.arriving = step;
      // Parts of the next step come while this one is being computed: they lie on the other side.
      if (this.wholeStep !== null && sideOf(this.wholeStep) === sideOf(step)) this.wholeStep = null;
      this.store.control.withdrawWeights(sideOf(step));
    }
    const at = this.store.layout.weights[sideOf(step)] + 4 * from;
    this.wire.widen(payload, dtype, at, to - from);
  }

  /** All parameters of a step are here, perhaps not its running statistics: ranks can compute with them. */
  computable(step: number): void {
    // Wrong ones are followed by all of the right ones, and nobody computes before those are whole.
    if (this.distrusted || this.computableStep === step) return;
    this.computableStep = step;
    this.store.control.publishWeights(sideOf(step), step);
  }

  /** All parts of a step's weights are here. */
  complete(step: number): void {
    this.wholeStep = step;
    this.distrusted = false;
    this.computable(step);
  }

  /** The weights are not those of the run; all of them will come again. */
  forget(): void {
    this.arriving = null;
    this.wholeStep = null;
    this.computableStep = null;
    this.distrusted = true;
  }

  /** float32 `[totalCount]` as this node computes with them. */
  weights(step: number): Float32Array {
    return this.store.weights(sideOf(step));
  }
}

/** Weights of two neighbouring steps never lie in the same place. */
export function sideOf(step: number): Side {
  return step % 2 === 0 ? 0 : 1;
}
