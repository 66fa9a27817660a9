/** What an idle member takes over from a slow one: pure, with time as an argument. */
import { finishOf, type Hand } from './apportion.ts';

/** Work that is out. */
export interface Outstanding {
  readonly id: number;
  /** Shards of it that are not counted. */
  readonly shards: readonly number[];
  /** How many of them, from the first on, its ranks have begun; a sum counts when its last shard is computed. */
  readonly begun: number;
  /** Shards that the member had to compute until this would be done, when it was given. */
  readonly depth: number;
  /** Seconds since it was given. */
  readonly age: number;
}

export interface Busy extends Hand {
  /** In the order in which the member does it. */
  readonly work: readonly Outstanding[];
  /** Seconds since it last began or delivered a shard, or was given the first of this. */
  readonly since: number;
}

export interface Theft {
  /** steal: taken away. copy: done a second time; the first complete result counts. */
  readonly kind: 'steal' | 'copy';
  readonly victim: number;
  readonly shards: readonly number[];
  readonly reason: string;
}

/** A member counts as late when it has had a shard for so many times what it should take, and a little more. */
const late = { factor: 2.5, seconds: 0.3 } as const;

/**
 * Taking over has to gain more than half of a shard's time: it splits a subtree, so that two sums travel instead of one.
 */
const gain = 1.6;

/**
 * An idle member and everybody else's outstanding work: is there something that it would finish earlier? Shards
 * that have not been begun are taken away; work that is long overdue, or that a member on trial is likely to hold up
 * everybody with, is done a second time.
 */
export function decideTheft(idle: Hand, busy: readonly Busy[]): Theft | null {
  const own = finishOf(idle, 1);
  for (const victim of busy.toSorted((a, b) => timeLeft(b) - timeLeft(a))) {
    const waiting = victim.work.flatMap(({ shards, begun }) => shards.slice(begun));
    const left = timeLeft(victim);
    if (waiting.length > 0 && gain * own < left) {
      const fair = Math.round((waiting.length * idle.speed) / (idle.speed + victim.speed));
      const shards = waiting.slice(-Math.max(1, fair));
      const reason = `${idle.name} is idle and ${victim.name} has ${left.toFixed(2)} s of work left: ${shards.length} taken over`;
      return { kind: 'steal', victim: victim.id, shards, reason };
    }
    const hopeless = victim.trial === true && gain * own + late.seconds < left;
    const overdue = victim.work.find(({ age, shards, depth }) => {
      const due = finishOf(victim, depth);
      return hopeless || (age > late.factor * due + late.seconds && own * shards.length < age);
    });
    if (overdue !== undefined) {
      const { shards, age } = overdue;
      const reason = `${victim.name} has had shards ${shards.join(', ')} for ${age.toFixed(1)} s: ${idle.name} computes them too`;
      return { kind: 'copy', victim: victim.id, shards, reason };
    }
  }
  return null;
}

/**
 * Seconds until it is done. Each rank is at one of the shards that were begun, the others are computed and wait for the
 * rest of their sum; what it is at may be nearly finished, but no more than that.
 */
function timeLeft(victim: Busy): number {
  const open = victim.work.reduce((sum, { shards }) => sum + shards.length, 0);
  const begun = victim.work.reduce((sum, one) => sum + one.begun, 0);
  const left = open - begun + Math.min(begun, victim.ranks);
  return finishOf(victim, left) - Math.min(victim.since, finishOf(victim, 1));
}
