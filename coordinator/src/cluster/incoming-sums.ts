/** Sums of subtrees that come in from one node: part by part into inboxes, until they are whole. */
import type { NodeMessage } from '@lockstep/shared/protocol/messages.ts';
import type { Inbox, InboxPool } from './inbox-pool.ts';
import type { MemberEvents, Work } from './member.ts';

export class IncomingSums {
  private readonly pool: InboxPool;
  private readonly events: MemberEvents;
  /** By assignment and subtree. */
  private readonly inboxes = new Map<string, Inbox>();
  /** Subtrees that have come, by assignment. */
  private readonly finished = new Map<number, number>();

  constructor(pool: InboxPool, events: MemberEvents) {
    this.pool = pool;
    this.events = events;
  }

  /** A part. @returns how many of its floats are NaN or infinite: then it is not used */
  take(work: Work, { subtree, from, to, dtype }: NodeMessage<'gradient-part'>, payload: Uint8Array): number {
    const tree = work.subtrees[subtree];
    if (tree === undefined) return 0;
    const key = keyOf(work, subtree);
    const inbox = this.inboxes.get(key) ?? this.pool.take();
    this.inboxes.set(key, inbox);
    const notFinite = this.pool.fill(inbox, from, to, payload, dtype);
    if (notFinite === 0 && inbox.slot !== null) {
      this.events.onPiece(work, { ...tree, slot: inbox.slot }, { from, to });
    }
    return notFinite;
  }

  /** A sum is whole, and whoever takes it here gives its inbox back. @returns null when no part of it has come */
  finish(work: Work, subtree: number): { readonly inbox: Inbox; readonly isLast: boolean } | null {
    const inbox = this.inboxes.get(keyOf(work, subtree));
    if (inbox === undefined) return null;
    this.inboxes.delete(keyOf(work, subtree));
    const count = (this.finished.get(work.id) ?? 0) + 1;
    const isLast = count === work.subtrees.length;
    if (isLast) this.finished.delete(work.id);
    else this.finished.set(work.id, count);
    return { inbox, isLast };
  }

  /** What has not come of a piece of work is not waited for. */
  abandon(work: Work): void {
    for (const index of work.subtrees.keys()) {
      const inbox = this.inboxes.get(keyOf(work, index));
      if (inbox === undefined) continue;
      this.inboxes.delete(keyOf(work, index));
      const free = (): void => this.pool.release(inbox);
      if (inbox.slot === null) free();
      else this.events.onAbandoned(inbox.slot, free);
    }
    this.finished.delete(work.id);
  }
}

function keyOf({ id }: Work, subtree: number): string {
  return `${id} ${subtree}`;
}
