/** Which member computes which shards: pure decisions, each with its reason. */

/** What a decision must know of a member. */
export interface Hand {
  readonly id: number;
  readonly name: string;
  readonly ranks: number;
  /** Shards a second, all ranks together; above 0. */
  readonly speed: number;
  /** Whether it is to have a shard however slow it is thought to be, so that somebody finds out. */
  readonly trial?: boolean;
}

/** Shards given to one member, in order. */
export interface Share {
  readonly id: number;
  readonly shards: readonly number[];
}

export interface Apportionment {
  readonly shares: readonly Share[];
  readonly reason: string;
}

/**
 * Gives shards out so that everybody is done as early as possible: each shard in turn to the rank that would
 * finish it first, then contiguous ranges of these sizes, the largest first, so that whole subtrees of the fixed
 * tree fall to one member. Who is on trial and would get nothing has one shard of whoever has most.
 *
 * @param shards in ascending order
 */
export function apportion(shards: readonly number[], hands: readonly Hand[]): Apportionment {
  if (hands.length === 0) return { shares: [], reason: 'nobody is here' };
  const counts = new Map(hands.map(({ id }) => [id, 0]));
  for (let i = 0; i < shards.length; i++) {
    let best: Hand | null = null;
    let bestFinish = Number.POSITIVE_INFINITY;
    for (const hand of hands) {
      const finish = finishOf(hand, (counts.get(hand.id) as number) + 1);
      // A thousandth is noise: ties go to whoever comes first, so that shares do not flicker.
      if (finish < bestFinish * 0.999) {
        best = hand;
        bestFinish = finish;
      }
    }
    const { id } = best ?? (hands[0] as Hand);
    counts.set(id, (counts.get(id) as number) + 1);
  }
  for (const { id } of hands.filter((hand) => hand.trial === true && counts.get(hand.id) === 0)) {
    const [donor, most] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
    if (most < 2) break;
    counts.set(donor, most - 1).set(id, 1);
  }
  const order = hands.toSorted(
    (a, b) => (counts.get(b.id) as number) - (counts.get(a.id) as number) || a.id - b.id,
  );
  const shares: Share[] = [];
  let at = 0;
  for (const { id } of order) {
    const count = counts.get(id) as number;
    if (count > 0) shares.push({ id, shards: shards.slice(at, at + count) });
    at += count;
  }
  const words = order.map(
    ({ id, name, speed, trial }) =>
      `${name} ${counts.get(id)} (${speed.toFixed(1)}/s${trial === true ? ', on trial' : ''})`,
  );
  return { shares, reason: `shards in proportion to speed: ${words.join(', ')}` };
}

/** Seconds until a member has done so many shards: its ranks work side by side, a shard is never split. */
export function finishOf({ ranks, speed }: Pick<Hand, 'ranks' | 'speed'>, shards: number): number {
  return (Math.ceil(shards / ranks) * ranks) / speed;
}

/** Runs of consecutive numbers in an ascending list. */
export function contiguousRuns(shards: readonly number[]): { from: number; width: number }[] {
  const runs: { from: number; width: number }[] = [];
  for (const shard of shards) {
    const last = runs.at(-1);
    if (last !== undefined && last.from + last.width === shard) last.width += 1;
    else runs.push({ from: shard, width: 1 });
  }
  return runs;
}
