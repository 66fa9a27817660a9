/** Field types of messages. Every string, number and list has an upper end: the door checks nothing later. */
import { z } from 'zod';

/** Most shards in a step, as in the recipe. */
export const largestShardCount = 1024;
/** Floats of a flat vector: a wasm32 arena ends at 4 GiB. */
const largestFloatCount = 2 ** 30;

const seconds = z.number().min(0).max(1e9);

export const fields = {
  count: z.int().min(0).max(largestFloatCount),
  /** A count of at least one. */
  positive: z.int().min(1).max(largestFloatCount),
  /** Steps committed before: names the weights. */
  step: z.int().min(0).max(1_000_000_000),
  /** Assignments of one connection: from 1, each larger than the one before. */
  assignment: z.int().min(1).max(Number.MAX_SAFE_INTEGER),
  shard: z
    .int()
    .min(0)
    .max(largestShardCount - 1),
  seconds,
  /** Milliseconds of the sender's own clock; only ever compared with itself. */
  clock: z.number().min(0).max(1e15),
  /** Bytes: a file of up to 16 TiB. */
  bytes: z
    .int()
    .min(0)
    .max(2 ** 44),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  name: z.string().min(1).max(128),
  /** A sentence for people. */
  reason: z.string().max(2000),
  dtype: z.enum(['f32', 'bf16', 'f16']),
  split: z.enum(['train', 'test']),
} as const;

/** A subtree of the fixed tree: the shards [from, from + width). */
export const subtreeField = z.strictObject({
  from: fields.shard,
  width: z.int().min(1).max(largestShardCount),
});

/** What a rank says of a shard it computed. */
export const shardReportField = z.strictObject({
  shard: fields.shard,
  samples: z.int().min(0).max(65_536),
  lossSum: z.number(),
  correct: z.int().min(0).max(65_536),
  loadSeconds: seconds,
  computeSeconds: seconds,
});

const splitField = z.strictObject({
  count: z.int().min(1).max(1_000_000_000),
  /** SHA-256 over the images, then the labels: also the name under which chunks are asked for. */
  sha256: fields.sha256,
});

/** A data set without its bytes. */
export const datasetField = z
  .strictObject({
    name: z.string().min(1).max(1024),
    title: z.string().min(1).max(1024),
    classes: z.array(z.string().max(256)).min(1).max(256),
    height: z.int().min(1).max(65_536),
    width: z.int().min(1).max(65_536),
    channels: z.int().min(1).max(64),
    mean: z.array(z.number()).max(64),
    deviation: z.array(z.number()).max(64),
    train: splitField,
    test: splitField,
  })
  .refine(({ mean, deviation, channels }) => mean.length === channels && deviation.length === channels, {
    message: 'mean and deviation need one value for each channel',
  });

/** A recipe as JSON; the receiver hands it to `parseRecipe`, which checks each field. */
export const recipeField = z
  .record(z.string().min(1).max(64), z.union([z.string().max(1024), z.number(), z.boolean(), z.null()]))
  .refine((recipe) => Object.keys(recipe).length <= 128, { message: 'a recipe has at most 128 fields' });
