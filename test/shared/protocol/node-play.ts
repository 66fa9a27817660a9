/** A node that plays by the rules, as messages: what the tests of its guard vary. */
import { defaultLimits } from '@lockstep/shared/protocol/limits.ts';
import type { NodeMessage, NodeToCoordinator, Subtree } from '@lockstep/shared/protocol/messages.ts';
import {
  judgeNodeMessage,
  type NodeGuard,
  noteAssigned,
  noteWelcomed,
  openNodeGuard,
} from '@lockstep/shared/protocol/node-guard.ts';
import type { Terms } from '@lockstep/shared/protocol/terms.ts';
import fc from 'fast-check';
import { helloMessage, smallTerms } from './samples.ts';

export interface Sent {
  readonly message: NodeToCoordinator;
  readonly payload: number;
}

export const samplesOf = (shard: number): number => 4 + (shard % 2);
export const dataset = { train: smallTerms.splits.train.sha256, test: smallTerms.splits.test.sha256 };
export const readyMessage: NodeMessage<'ready'> = { type: 'ready', dataset, ranks: 2, imagesPerSecond: null };
export const heartbeat: NodeToCoordinator = {
  type: 'heartbeat',
  sentAt: 0,
  computing: 0,
  queued: 0,
  computeSeconds: 0,
  waitSeconds: 0,
  sendSeconds: 0,
};

export function readyGuard(terms: Terms = smallTerms): NodeGuard {
  let guard = openNodeGuard(defaultLimits, 0);
  guard = judgeNodeMessage(guard, helloMessage, 0, 0).guard;
  guard = noteWelcomed(guard, terms);
  return judgeNodeMessage(guard, readyMessage, 0, 0).guard;
}

/** What an honest node sends for one subtree: its parts in any order, its batch-norm points, then done. */
export function answer(
  assignment: number,
  step: number,
  index: number,
  { from, width }: Subtree,
  terms: Terms,
) {
  const cuts = fc.uniqueArray(fc.integer({ min: 1, max: terms.parameterCount - 1 }), { maxLength: 6 });
  const points = (terms.syncChannels ?? []).flatMap((channels, i, all) => [
    { point: i, channels },
    { point: 2 * all.length - 1 - i, channels },
  ]);
  const about = { assignment, step, subtree: index };
  return cuts
    .chain((list) => {
      const ends = [...list.toSorted((a, b) => a - b), terms.parameterCount];
      const parts = ends.map((to, i) => ({ from: ends[i - 1] ?? 0, to }));
      return fc.shuffledSubarray(parts, { minLength: parts.length });
    })
    .map((parts): Sent[] => [
      ...parts.map((part) => ({
        message: { type: 'gradient-part', ...about, ...part, dtype: 'f32' } as const,
        payload: 4 * (part.to - part.from),
      })),
      ...points
        .toSorted((a, b) => a.point - b.point)
        .map(({ point, channels }) => ({
          message: { type: 'sync-part', ...about, point } as const,
          payload: 16 * channels,
        })),
      {
        message: {
          type: 'subtree-done',
          ...about,
          shards: Array.from({ length: width }, (_, i) => ({
            shard: from + i,
            samples: samplesOf(from + i),
            lossSum: 1,
            correct: 1,
            loadSeconds: 0,
            computeSeconds: 0,
          })),
        },
        payload: terms.syncChannels === null ? 16 * terms.batchNormChannels : 0,
      },
    ]);
}

/** Interleaves lists at random, each in its own order. */
function interleaved(lists: readonly Sent[][]): fc.Arbitrary<Sent[]> {
  const tickets = lists.flatMap((list, i) => list.map(() => i));
  return fc.shuffledSubarray(tickets, { minLength: tickets.length }).map((order) => {
    const next = lists.map(() => 0);
    return order.map((i) => lists[i]?.[next[i]++ as number] as Sent);
  });
}

const syncTerms: Terms = { ...smallTerms, syncChannels: [4, 6] };
export const subtrees = [
  { from: 0, width: 2 },
  { from: 4, width: 4 },
];

/** A guard with one assignment and all that a node answers to it. */
export const honest = fc.constantFrom(smallTerms, syncTerms).chain((terms) =>
  fc
    .tuple(...subtrees.map((subtree, i) => answer(1, 5, i, subtree, terms)))
    .chain(interleaved)
    .map((sent) => ({
      sent,
      guard: noteAssigned(readyGuard(terms), { assignment: 1, step: 5, subtrees }, samplesOf),
    })),
);

export function play(guard: NodeGuard, sent: readonly Sent[]) {
  const kinds: string[] = [];
  for (const { message, payload } of sent) {
    const judged = judgeNodeMessage(guard, message, payload, 1);
    guard = judged.guard;
    kinds.push(judged.verdict.kind);
    if (judged.verdict.kind === 'drop') break;
  }
  return { guard, kinds };
}
