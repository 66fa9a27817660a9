/** What a checkpoint is: in memory, and the manifest that describes it on disk. */

import { createHash } from 'node:crypto';
import { canonicalJson } from '@lockstep/shared/base/canonical-json.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { z } from 'zod';

/** A run's whole state after a commit. */
export interface Checkpoint {
  readonly recipe: Recipe;
  /** Committed steps. */
  readonly step: number;
  /** Samples consumed by these steps. */
  readonly samples: number;
  /** The flat weights, then the running statistics, in layout order. */
  readonly weights: Float32Array;
  /** The optimizer's state by name, for example `first` and `second`; names are lower-case kebab. */
  readonly optimizer: Readonly<Record<string, Float32Array>>;
  /** Updates the optimizer has applied (Adam's bias correction counts them). */
  readonly optimizerSteps: number;
  /** SHA-256 (hex) over `weights`. */
  readonly weightsSha256: string;
  /** Mean loss of the steps so far, oldest first, for charts. */
  readonly lossHistory?: Float32Array;
  /** Fingerprint of the machine and the code that computed the last step; absent from the first version's checkpoints. */
  readonly numerics?: string;
}

export const checkpointFormat = 'lockstep-checkpoint';
/** Raised when a reader of the old version would misunderstand the new one. */
export const checkpointVersion = 2;
/** The first version had no `numerics`. */
export const readableVersions: readonly number[] = [1, checkpointVersion];
export const manifestFile = 'manifest.json';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

const tensorSchema = z.strictObject({
  /** `weights`, `optimizer/<name>` or `loss-history`. */
  name: z.string().regex(/^(weights|loss-history|optimizer\/[a-z0-9-]{1,40})$/),
  /** A plain file name: a manifest can never point outside its own folder. */
  file: z.string().regex(/^[a-z0-9-]{1,60}\.f32$/),
  bytes: count.multipleOf(4),
  sha256,
});

/** One raw little-endian float32 file. */
export type TensorEntry = z.output<typeof tensorSchema>;

export const manifestSchema = z.strictObject({
  format: z.literal(checkpointFormat),
  version: z.literal(readableVersions),
  recipe: z.record(z.string(), z.unknown()),
  recipeSha256: sha256,
  step: count,
  samples: count,
  optimizerSteps: count,
  weightsSha256: sha256,
  numerics: sha256.optional(),
  /** When it was written, ISO 8601: which of two checkpoints is the newer one. */
  writtenAt: z.iso.datetime(),
  tensors: z.array(tensorSchema).min(1).max(64),
  /** SHA-256 of the canonical JSON of everything above. */
  manifestSha256: sha256,
});

export type Manifest = z.output<typeof manifestSchema>;

/** The hash a manifest must carry: over its canonical JSON without `manifestSha256` itself. */
export function manifestSha256(manifest: Readonly<Record<string, unknown>>): string {
  const { manifestSha256: _, ...rest } = manifest;
  return createHash('sha256').update(canonicalJson(rest)).digest('hex');
}

const folderPattern = /^checkpoint-(\d{8,16})$/;

/** `checkpoint-00000020` for step 20: sorts by step in a listing. */
export function checkpointFolder(step: number): string {
  return `checkpoint-${String(step).padStart(8, '0')}`;
}

/** The step in a folder's name, or null when it is no checkpoint's name. */
export function stepOfFolder(name: string): number | null {
  const digits = folderPattern.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}
