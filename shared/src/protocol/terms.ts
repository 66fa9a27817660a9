/** What both sides of a joined connection agree on: the sizes that every later message is measured by. */
import type { WireDtype } from './messages.ts';

export interface Terms {
  readonly parameterCount: number;
  readonly totalCount: number;
  readonly batchNormChannels: number;
  readonly shardsPerStep: number;
  readonly wireDtype: WireDtype;
  /** Channels of each batch-norm layer, in order, in mode `sync`; null in mode `shard`. */
  readonly syncChannels: readonly number[] | null;
  readonly chunkBytes: number;
  /** SHA-256, samples and bytes of each split. */
  readonly splits: Readonly<Record<'train' | 'test', SplitTerms>>;
}

export interface SplitTerms {
  readonly sha256: string;
  readonly count: number;
  readonly bytes: number;
}

/** Points of a step at which all shards meet in mode `sync`: each layer forward, then each backward. */
export function syncPointCount(terms: Terms): number {
  return 2 * (terms.syncChannels?.length ?? 0);
}

/** Bytes of the payload at a point; null when there is no such point. */
export function syncPointBytes(terms: Terms, point: number): number | null {
  const layers = terms.syncChannels?.length ?? 0;
  const channels = terms.syncChannels?.[point < layers ? point : 2 * layers - 1 - point];
  return channels === undefined ? null : 16 * channels;
}

/** Bytes of the moments that come with a subtree; none in mode `sync`, where the points told them. */
export function momentsBytes(terms: Terms): number {
  return terms.syncChannels === null ? 16 * terms.batchNormChannels : 0;
}

/** The one length that a chunk at an offset has; null where no chunk begins. */
export function chunkLength(terms: Terms, hash: string, offset: number): number | null {
  const { train, test } = terms.splits;
  const split = hash === train.sha256 ? train : hash === test.sha256 ? test : null;
  if (split === null || offset >= split.bytes || offset % terms.chunkBytes !== 0) return null;
  return Math.min(terms.chunkBytes, split.bytes - offset);
}
