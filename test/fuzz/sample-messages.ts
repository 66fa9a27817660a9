/** One valid message of each kind a node sends: what mutations start from. */
import type { NodeToCoordinator } from '@lockstep/shared/protocol/messages.ts';
import type { Dice } from '../helpers/dice.ts';

export type Hello = Extract<NodeToCoordinator, { type: 'hello' }>;

/** A message and its payload, right in form; whether it is right at this moment is another question. */
export interface Sample {
  readonly message: NodeToCoordinator;
  readonly payload: Uint8Array;
}

const none = new Uint8Array(0);

function hex(dice: Dice, digits: number): string {
  return dice.bytes(digits / 2).toString('hex');
}

/** Floats of which some are NaN or infinite. */
export function poisonedFloats(dice: Dice, length: number): Uint8Array {
  const floats = Float32Array.from({ length }, () => dice.below(1000) / 500 - 1);
  for (let i = 0; i < Math.max(1, length / 16); i++) {
    floats[dice.below(length)] = dice.pick([Number.NaN, Number.POSITIVE_INFINITY, -1e38, 3e38]);
  }
  return new Uint8Array(floats.buffer);
}

/** A random valid message of a type; ids are small, so that they hit what exists. */
export function sampleMessage(dice: Dice, hello: Hello): Sample {
  const assignment = dice.between(1, 400);
  const step = dice.below(200);
  const subtree = dice.below(4);
  const floats = dice.between(1, 400);
  const from = dice.below(70_000);
  const shard = dice.below(8);
  const report = {
    shard,
    samples: 8,
    lossSum: dice.pick([1, -1, 1e308]),
    correct: 3,
    loadSeconds: 0,
    computeSeconds: 0,
  };
  const seconds = { computeSeconds: 1, waitSeconds: 1, sendSeconds: 1 };
  const common = { assignment, step, subtree };
  const samples: readonly (() => Sample)[] = [
    () => ({ message: { ...hello, instance: hex(dice, 32) }, payload: none }),
    () => ({
      message: {
        type: 'data-request',
        hash: hex(dice, 64),
        offset: dice.below(10) * 2 ** 20,
        length: 2 ** 20,
      },
      payload: none,
    }),
    () => ({
      message: {
        type: 'ready',
        dataset: { train: hex(dice, 64), test: hex(dice, 64) },
        ranks: dice.between(1, 4096),
        imagesPerSecond: dice.pick([null, 0, 1e9]),
      },
      payload: none,
    }),
    () => ({
      message: {
        type: 'gradient-part',
        ...common,
        from,
        to: from + floats,
        dtype: dice.pick(['f32', 'bf16', 'f16']),
      },
      payload: poisonedFloats(dice, floats),
    }),
    () => ({
      message: { type: 'subtree-done', ...common, shards: [report] },
      payload: dice.bytes(16 * dice.below(200)),
    }),
    () => ({
      message: { type: 'sync-part', ...common, point: dice.below(20) },
      payload: dice.bytes(16 * dice.below(64)),
    }),
    () => ({
      message: { type: 'evaluation-done', assignment, step, count: 4, lossSum: 1, correct: 2 },
      payload: dice.bytes(16),
    }),
    () => ({ message: { type: 'weights-hash', step, sha256: hex(dice, 64) }, payload: none }),
    () => ({
      message: {
        type: 'failed',
        assignment,
        cause: dice.pick(['not-finite', 'rank-lost', 'other']),
        reason: 'so',
      },
      payload: none,
    }),
    () => ({ message: { type: 'released', assignment }, payload: none }),
    () => ({ message: { type: 'heartbeat', sentAt: 1, computing: 1, queued: 0, ...seconds }, payload: none }),
    () => ({ message: { type: 'leaving', reason: 'no more' }, payload: none }),
  ];
  return dice.pick(samples)();
}
