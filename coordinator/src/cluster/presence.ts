/** Whether a run may begin or must wait, and who has been lost: pure decisions. */
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import { type Drop, drop } from '@lockstep/shared/protocol/verdict.ts';

export interface PresenceDecision {
  readonly go: boolean;
  readonly reason: string;
}

/** Before the first step: are enough here? @param own threads of the coordinator that compute shards */
export function decideStart(ready: number, minNodes: number, own: number): PresenceDecision {
  const needed = Math.max(minNodes, own === 0 ? 1 : 0);
  return ready >= needed
    ? {
        go: true,
        reason: needed === 0 ? 'the coordinator computes itself' : `${ready} of ${needed} nodes are ready`,
      }
    : { go: false, reason: `waiting for nodes: ${ready} of ${needed} are ready` };
}

/** In the middle of a run: is there anybody? */
export function decideGoingOn(ready: number, own: number): PresenceDecision {
  if (own > 0 || ready > 0) return { go: true, reason: `${ready} nodes and ${own} own threads` };
  return { go: false, reason: 'every node is gone: waiting until one joins' };
}

/**
 * Does a node read what it is sent? One that does not keeps memory here, and gets no further work done.
 *
 * @param stalled milliseconds for which nothing has moved although something waits
 */
export function decideReader(stalled: number, limits: Pick<Limits, 'silence'>): Drop | null {
  const most = 5 * limits.silence;
  if (stalled <= most) return null;
  return drop('FLOOD', `the node reads too slowly: nothing went out for ${Math.round(stalled)} ms`);
}

/** What a node's hash means. @param before times that it differed before */
export function decideDivergence(
  agrees: boolean,
  before: number,
): { readonly kind: 'fine' | 'resynchronise' | 'drop'; readonly reason: string } {
  if (agrees) return { kind: 'fine', reason: 'its weights are those of the run' };
  return before === 0
    ? { kind: 'resynchronise', reason: 'its weights are not those of the run: they are sent again' }
    : { kind: 'drop', reason: `its weights differ from the run's for the ${before + 1}. time` };
}

/** What a node is called here. @param taken names of all who are here: on one machine they are all called the same */
export function decideName(wanted: string, taken: ReadonlySet<string>): string {
  if (!taken.has(wanted)) return wanted;
  let number = 2;
  while (taken.has(`${wanted}-${number}`)) number += 1;
  return `${wanted}-${number}`;
}
