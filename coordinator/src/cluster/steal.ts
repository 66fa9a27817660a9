/** What an idle member takes over from a slow one: pure, with time as an argument. */
import { finishOf, type Hand } from './apportion.ts';

/** Work that is out. */
export interface Outstanding {
  readonly id: number;
  /** Shards of it that are not counted. */
  readonly shards: readonly number[];
  /** Seconds since it was given. */
  readonly age: number;
}

export interface Busy extends Hand {
  /** In the order in which the member does it. */
  readonly work: readonly Outstanding[];
}

export interface Theft {
  readonly kind: 'steal' | 'copy';
  readonly victim: number;
  /** Work to take away, or to do a second time. */
  readonly work: readonly number[];
  readonly reason: string;
}

/** A member counts as late when it has had a shard for so many times what it should take, and a little more. */
const late = { factor: 2.5, seconds: 0.3 } as const;

/**
 * An idle member and everybody else's outstanding work: is there something that it would finish earlier? Work
 * that has not been begun is taken away; work that is long overdue is done a second time, and the first complete
 * result counts.
 */
export function decideTheft(idle: Hand, busy: readonly Busy[]): Theft | null {
  const most = busy.toSorted((a, b) => timeLeft(b) - timeLeft(a));
  for (const victim of most) {
    const waiting = victim.work.slice(begunCount(victim));
    const own = finishOf(idle, 1);
    if (waiting.length > 0 && own < timeLeft(victim)) {
      const fair = Math.round((waiting.length * idle.speed) / (idle.speed + victim.speed));
      const count = Math.max(1, Math.min(waiting.length, fair));
      const work = waiting.slice(-count).map(({ id }) => id);
      const left = timeLeft(victim).toFixed(2);
      const reason = `${idle.name} is idle and ${victim.name} has ${left} s of work left: ${count} taken over`;
      return { kind: 'steal', victim: victim.id, work, reason };
    }
    const overdue = victim.work.find(({ age, shards }) => {
      const due = finishOf(victim, shards.length);
      return age > late.factor * due + late.seconds && own * shards.length < age;
    });
    if (overdue !== undefined) {
      const reason = `${victim.name} has had shards ${overdue.shards.join(', ')} for ${overdue.age.toFixed(1)} s: ${idle.name} computes them too`;
      return { kind: 'copy', victim: victim.id, work: [overdue.id], reason };
    }
  }
  return null;
}

function timeLeft(victim: Busy): number {
  return finishOf(
    victim,
    victim.work.reduce((sum, { shards }) => sum + shards.length, 0),
  );
}

/** Pieces of work that its ranks are at. */
function begunCount({ ranks, work }: Busy): number {
  let shards = 0;
  let count = 0;
  while (count < work.length && shards < ranks) shards += (work[count++] as Outstanding).shards.length;
  return count;
}
