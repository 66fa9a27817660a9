/** Arbitrary messages of both directions, and the terms of a small run. */
import { protocolVersion } from '@lockstep/shared/protocol/messages.ts';
import type {
  CoordinatorMessage,
  CoordinatorToNode,
  NodeMessage,
  NodeToCoordinator,
} from '@lockstep/shared/protocol/messages.ts';
import type { Terms } from '@lockstep/shared/protocol/terms.ts';
import fc from 'fast-check';

const hash = fc.stringMatching(/^[0-9a-f]{64}$/);
const words = fc.string({ maxLength: 200 });
const name = fc.string({ minLength: 1, maxLength: 60 });
const natural = fc.nat();
const positive = fc.integer({ min: 1, max: 2 ** 30 });
const shard = fc.integer({ min: 0, max: 1023 });
/** Without -0, which msgpack writes as 0. */
const real = fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0);
const seconds = fc.double({ min: 0, max: 1e9, noNaN: true });
const assignment = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const step = fc.integer({ min: 0, max: 1e9 });
const dtype = fc.constantFrom('f32' as const, 'bf16' as const, 'f16' as const);
const threads = fc.integer({ min: 1, max: 4096 });

type Fields<M> = { [K in Exclude<keyof M, 'type'>]: fc.Arbitrary<M[K]> };

function toCoordinator<const T extends NodeToCoordinator['type']>(
  type: T,
  fields: Fields<NodeMessage<T>>,
): fc.Arbitrary<NodeToCoordinator> {
  return fc.record({ type: fc.constant(type), ...fields }) as unknown as fc.Arbitrary<NodeToCoordinator>;
}

function toNode<const T extends CoordinatorToNode['type']>(
  type: T,
  fields: Fields<CoordinatorMessage<T>>,
): fc.Arbitrary<CoordinatorToNode> {
  return fc.record({ type: fc.constant(type), ...fields }) as unknown as fc.Arbitrary<CoordinatorToNode>;
}

const report = fc.record({
  shard,
  samples: fc.integer({ min: 0, max: 65_536 }),
  lossSum: real,
  correct: fc.integer({ min: 0, max: 65_536 }),
  loadSeconds: seconds,
  computeSeconds: seconds,
});

export const hello: fc.Arbitrary<NodeToCoordinator> = toCoordinator('hello', {
  protocolVersion: fc.constant(protocolVersion),
  token: fc.option(words, { nil: null }),
  instance: fc.stringMatching(/^[0-9a-f]{32}$/),
  name,
  threads,
  gigaflops: seconds,
  fingerprints: fc.record({ fma: fc.option(hash), mulAdd: fc.option(hash) }),
  runtime: fc.record({ lockstep: name, node: name, platform: name }),
});

export const nodeMessages: fc.Arbitrary<NodeToCoordinator> = fc.oneof(
  hello,
  toCoordinator('data-request', { hash, offset: natural, length: positive }),
  toCoordinator('ready', {
    dataset: fc.record({ train: hash, test: hash }),
    ranks: threads,
    imagesPerSecond: fc.option(seconds),
  }),
  toCoordinator('gradient-part', {
    assignment,
    step,
    subtree: shard,
    from: natural.map((n) => n >> 1),
    to: positive,
    dtype,
  }),
  toCoordinator('subtree-done', {
    assignment,
    step,
    subtree: shard,
    shards: fc.array(report, { minLength: 1, maxLength: 20 }),
  }),
  toCoordinator('sync-part', { assignment, step, subtree: shard, point: shard }),
  toCoordinator('progress', { assignment, begun: shard, seconds }),
  toCoordinator('evaluation-done', { assignment, step, count: positive, lossSum: real, correct: shard }),
  toCoordinator('weights-hash', { step, sha256: hash }),
  toCoordinator('failed', {
    assignment,
    cause: fc.constantFrom('not-finite' as const, 'rank-lost' as const, 'other' as const),
    reason: words,
  }),
  toCoordinator('released', { assignment }),
  toCoordinator('heartbeat', {
    sentAt: seconds,
    computing: shard,
    queued: shard,
    computeSeconds: seconds,
    waitSeconds: seconds,
    sendSeconds: seconds,
  }),
  toCoordinator('leaving', { reason: words }),
);

const split = fc.record({ count: fc.integer({ min: 1, max: 1e9 }), sha256: hash });

const dataset = fc.integer({ min: 1, max: 64 }).chain((channels) => {
  const list = fc.array(real, { minLength: channels, maxLength: channels });
  const side = fc.integer({ min: 1, max: 65_536 });
  return fc.record({
    name,
    title: name,
    classes: fc.array(words, { minLength: 1, maxLength: 256 }),
    height: side,
    width: side,
    channels: fc.constant(channels),
    mean: list,
    deviation: list,
    train: split,
    test: split,
  });
});

const recipeValue = fc.oneof(words, real, fc.boolean(), fc.constant(null));

export const coordinatorMessages: fc.Arbitrary<CoordinatorToNode> = fc.oneof(
  toNode('welcome', {
    protocolVersion: fc.constant(protocolVersion),
    nodeId: fc.integer({ min: 1, max: 1e9 }),
    recipe: fc.dictionary(fc.stringMatching(/^[a-zA-Z0-9]{1,30}$/), recipeValue, { noNullPrototype: true }),
    recipeSha256: hash,
    dataset,
    chunkBytes: positive,
    wireDtype: dtype,
    layout: fc.record({ parameterCount: positive, totalCount: positive, batchNormChannels: shard }),
    heartbeatMilliseconds: fc.integer({ min: 10, max: 60_000 }),
    silenceMilliseconds: fc.integer({ min: 20, max: 600_000 }),
  }),
  toNode('refused', { code: fc.stringMatching(/^[A-Z_]{1,64}$/), reason: words, advice: words }),
  toNode('data-chunk', { hash, offset: natural, length: positive }),
  toNode('weights', { step, from: natural.map((n) => n >> 1), to: positive, dtype, hash: fc.boolean() }),
  toNode('assign', {
    assignment,
    step,
    subtrees: fc.array(fc.record({ from: shard, width: fc.integer({ min: 1, max: 1024 }) }), {
      minLength: 1,
      maxLength: 30,
    }),
  }),
  toNode('evaluate', {
    assignment,
    step,
    split: fc.constantFrom('train' as const, 'test' as const),
    from: shard,
    count: fc.integer({ min: 1, max: 65_536 }),
  }),
  toNode('revoke', { assignment, reason: words }),
  toNode('progress-request', { assignment }),
  toNode('sync-total', { step, point: shard }),
  toNode('resynchronise', { step, reason: words }),
  toNode('heartbeat', { echo: fc.option(seconds) }),
  toNode('goodbye', { reason: words, again: fc.boolean() }),
);

/** 8 shards, 1000 parameters, 10 batch-norm channels, a data set of two and a half chunks. */
export const smallTerms: Terms = {
  parameterCount: 1000,
  totalCount: 1020,
  batchNormChannels: 10,
  shardsPerStep: 8,
  wireDtype: 'f32',
  syncChannels: null,
  chunkBytes: 4096,
  splits: {
    train: { sha256: 'a'.repeat(64), count: 100, bytes: 10_240 },
    test: { sha256: 'b'.repeat(64), count: 10, bytes: 1000 },
  },
};

export const helloMessage: NodeToCoordinator = {
  type: 'hello',
  protocolVersion,
  token: 'secret',
  instance: '0'.repeat(32),
  name: 'n',
  threads: 2,
  gigaflops: 100,
  fingerprints: { fma: 'c'.repeat(64), mulAdd: null },
  runtime: { lockstep: '0.1.0', node: 'v26.10.0', platform: 'linux-x64' },
};
