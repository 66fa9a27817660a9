/** Batch-norm mode `sync` in float64: the programs of all shards of a step advance together, segment by segment. */
import { pairIndex } from '@lockstep/shared/kernels/batch-norm.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import type { Program, SyncPoint } from '@lockstep/shared/model/program.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { mergePoint, type PointPart } from '@lockstep/shared/model/sync-points.ts';
import { combineTree } from '@lockstep/shared/reduce/tree.ts';
import {
  type Observer,
  type ProgramInput,
  type ProgramResult,
  ReferenceProgram,
} from './reference-program.ts';

/** The inputs of shards of the given sizes, from that of the whole batch; null: an empty shard. */
export function shardInputs(
  model: Model,
  batch: ProgramInput,
  sizes: readonly number[],
): (ProgramInput | null)[] {
  const { height, width, channels } = model.images;
  const bytes = height * width * channels;
  let from = 0;
  return sizes.map((size) => {
    const [begin, end] = [from, from + size];
    from = end;
    if (size === 0) return null;
    return {
      ...batch,
      images: batch.images.subarray(begin * bytes, end * bytes),
      labels: batch.labels.slice(begin, end),
    };
  });
}

export class SyncReference {
  private readonly shards: (ReferenceProgram | null)[];
  private readonly model: Model;
  private readonly sizes: readonly number[];

  constructor(model: Model, sizes: readonly number[], batchNormEpsilon: number) {
    this.model = model;
    this.sizes = sizes;
    const batchSamples = sizes.reduce((a, b) => a + b, 0);
    this.shards = sizes.map((size) => {
      if (size === 0) return null;
      const sync = { batchSamples, shift: 0 };
      return new ReferenceProgram(compileProgram(model, 'train', size, { batchNormEpsilon, sync }));
    });
  }

  /** Results of the shards; null where empty. @param observe sees the calls of all shards */
  run(batch: ProgramInput, observe: Observer | null = null): (ProgramResult | null)[] {
    const inputs = shardInputs(this.model, batch, this.sizes);
    this.shards.forEach((shard, i) => void shard?.begin(inputs[i] as ProgramInput));
    const points = this.shards.find((shard) => shard !== null)?.program.points ?? [];
    for (let segment = 0; segment <= points.length; segment++) {
      if (segment > 0) this.meet(segment - 1);
      for (const shard of this.shards) shard?.execute(segmentOf(shard.program, segment), observe);
    }
    return this.shards.map((shard) => shard?.result() ?? null);
  }

  /** Loss of the whole batch. */
  loss(batch: ProgramInput, observe: Observer | null = null): number {
    return this.run(batch, observe).reduce((sum, result) => sum + (result?.lossSum ?? 0), 0);
  }

  private meet(at: number): void {
    const places = this.shards.map((shard) => shard?.program.points[at] ?? null);
    const { direction } = places.find((place) => place !== null) as SyncPoint;
    const total = combineTree<PointPart>(
      this.shards.length,
      (i) => {
        const shard = this.shards[i];
        const place = places[i];
        if (!shard || !place) return { count: 0, values: new Float64Array() };
        const { moments, sums } = shard.program.regions;
        const region = direction === 'forward' ? moments : sums;
        const { layout } = shard.program;
        const norm = layout.batchNorms.find(({ channel }) => channel === place.channel);
        const values = Float64Array.from(
          { length: 2 * place.channels },
          (_, k) =>
            shard.memory.values[pairIndex(region, place.channel + (k >> 1), (k & 1) as 0 | 1)] as number,
        );
        return { count: shard.program.shardSize * (norm?.pixels ?? 0), values };
      },
      (a, b) => mergePoint(direction, a, b),
    );
    this.shards.forEach((shard, i) => {
      const place = places[i];
      if (!shard || !place) return;
      const { batchMoments, batchSums } = shard.program.regions;
      const region = direction === 'forward' ? batchMoments : batchSums;
      total.values.forEach((value, k) => {
        shard.memory.values[pairIndex(region, place.channel + (k >> 1), (k & 1) as 0 | 1)] = value;
      });
    });
  }
}

function segmentOf({ forward, backward, points }: Program, segment: number) {
  const all = [...forward, ...backward];
  return all.slice(points[segment - 1]?.calls ?? 0, points[segment]?.calls ?? all.length);
}

/** Sum of the shards' gradients. */
export function gradientSum(results: readonly (ProgramResult | null)[], length: number): Float64Array {
  const sum = new Float64Array(length);
  for (const result of results) result?.gradients.forEach((g, i) => void (sum[i] = (sum[i] as number) + g));
  return sum;
}
