/** The work of a step as decisions see it: who has what, who could have more, what nobody has. */
import { shardCount } from '@lockstep/shared/protocol/subtree.ts';
import type { Hand } from './apportion.ts';
import type { Member, Work } from './member.ts';
import type { Outstanding } from './steal.ts';
import type { StepGround } from './step-in-progress.ts';

/** What a member has of a step. */
export function worksIn(ground: StepGround | null, member: Member): Work[] {
  return [...(ground?.ledger.works.values() ?? [])].filter((work) => work.member === member);
}

/** A member as it counts when work is given out. @param meanSamples of a shard */
export function handOf({ id, name, ranks, record }: Member, meanSamples: number): Hand {
  const speed = Math.max(1e-6, record.imagesPerSecond / meanSamples);
  return { id, name, ranks, speed, trial: record.onTrial };
}

/** A piece of work as the decision sees it. @param open its shards that are not counted, in its order */
export function outstandingOf(
  member: Member,
  work: Work,
  open: readonly number[],
  allowed: (shard: number) => boolean,
  age: number,
): Outstanding {
  const counted = shardCount(work.subtrees) - open.length;
  const begun = open.slice(0, Math.max(0, member.begunOf(work) - counted));
  const { id, depth } = work;
  return { id, shards: open.filter(allowed), begun: begun.filter(allowed).length, age, depth };
}

/** Shards that nobody has, by who may have them: not whoever failed with one, while somebody else is there. */
export function freeWork(
  { ledger }: StepGround,
  hands: readonly Member[],
): { readonly shards: readonly number[]; readonly takers: readonly Member[] }[] {
  const fit = hands.map(({ id }) => id);
  const groups = new Map<string, { readonly shards: number[]; readonly takers: readonly Member[] }>();
  for (const shard of ledger.free()) {
    const { exclude } = ledger.decide(shard, fit);
    const key = exclude.join();
    const group = groups.get(key) ?? { shards: [], takers: hands.filter(({ id }) => !exclude.includes(id)) };
    group.shards.push(shard);
    groups.set(key, group);
  }
  return [...groups.values()];
}
