/**
 * How far a node is with its work, as far as the coordinator knows. A node tells it when it is asked, and it is asked when
 * somebody else is idle: to be told of every shard would wake both main threads beside ranks that compute. Time is an
 * argument, in milliseconds.
 */

/** An answer that is older says too little: ranks begin a shard every few of these. */
const fresh = 20;
/** Who has not answered after so long is not waited for: it stands still, or its link does. */
const patience = 100;

/** What is known of one piece of work. */
export interface Knowledge {
  /** Shards that ranks have begun. */
  readonly begun: number;
  readonly answeredAt: number | null;
  /** Null: nothing is on its way. */
  readonly askedAt: number | null;
}

const nothing: Knowledge = { begun: 0, answeredAt: null, askedAt: null };

/** known: as good as it gets. asked: an answer is on its way. */
export type Asking = 'known' | 'asked' | 'ask';

/** Pure: is it known well enough how far work is? @param shards that it has */
export function decideAsking({ begun, answeredAt, askedAt }: Knowledge, shards: number, now: number): Asking {
  // Of what is begun nothing can be taken over, whatever an answer would say.
  if (begun >= shards) return 'known';
  if (askedAt !== null) return now - askedAt > patience ? 'known' : 'asked';
  return answeredAt !== null && now - answeredAt <= fresh ? 'known' : 'ask';
}

export class WorkProgress {
  private readonly byWork = new Map<number, Knowledge>();

  begunOf(work: number): number {
    return this.of(work).begun;
  }

  asking(work: number, shards: number, now: number): Asking {
    return decideAsking(this.of(work), shards, now);
  }

  asked(work: number, now: number): void {
    this.byWork.set(work, { ...this.of(work), askedAt: now });
  }

  answered(work: number, begun: number, now: number): void {
    this.byWork.set(work, { begun, answeredAt: now, askedAt: null });
  }

  /** A piece of a sum has come: whoever sends it has begun all that is in it. @param begun shards, at least */
  seen(work: number, begun: number): void {
    const known = this.of(work);
    this.byWork.set(work, { ...known, begun: Math.max(known.begun, begun) });
  }

  forget(work: number): void {
    this.byWork.delete(work);
  }

  private of(work: number): Knowledge {
    return this.byWork.get(work) ?? nothing;
  }
}
