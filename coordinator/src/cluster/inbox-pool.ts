/** Memory that sums of subtrees come into, part by part: slots of the store while there are any, else some of our own. */
import { decodeFloats } from '@lockstep/shared/protocol/dtype.ts';
import type { WireDtype } from '@lockstep/shared/protocol/messages.ts';
import type { RankHost } from '@lockstep/worker/rank/rank-host.ts';

export interface Inbox {
  /** Of the store; null for memory of our own, from where a whole sum is copied into the slot of its first shard. */
  readonly slot: number | null;
  /** float32 `[parameterCount]`. */
  readonly floats: Float32Array;
}

export class InboxPool {
  private readonly host: Pick<RankHost, 'store' | 'wire'>;
  /** Slots that nobody uses, the next one last: the same few are used again and again, the others cost no memory. */
  private readonly slots: number[];
  private readonly own: Float32Array[] = [];

  constructor(host: Pick<RankHost, 'store' | 'wire'>) {
    this.host = host;
    const { shardsPerStep, inboxes = 0 } = host.store.layout;
    this.slots = Array.from({ length: inboxes }, (_, i) => shardsPerStep + inboxes - 1 - i);
  }

  take(): Inbox {
    const { store } = this.host;
    const slot = this.slots.pop();
    if (slot !== undefined) return { slot, floats: store.slot(slot) };
    return { slot: null, floats: this.own.pop() ?? new Float32Array(store.layout.parameterCount) };
  }

  release({ slot, floats }: Inbox): void {
    if (slot === null) this.own.push(floats);
    else this.slots.push(slot);
  }

  /** Puts floats [from, to) into an inbox. @returns how many of them are NaN or infinite */
  fill({ slot, floats }: Inbox, from: number, to: number, payload: Uint8Array, dtype: WireDtype): number {
    const { store, wire } = this.host;
    if (slot === null) return decodeFloats(payload, dtype, floats.subarray(from, to));
    const at = store.layout.slots + slot * store.layout.slotBytes + 4 * from;
    wire.widen(payload, dtype, at, to - from);
    return wire.countNonFinite(at, to - from);
  }
}
