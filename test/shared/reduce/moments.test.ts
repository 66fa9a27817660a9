/** Moments merged from shards against moments of all elements at once. */
import {
  type Moments,
  mergeMoments,
  mergeShardMoments,
  type ShardMoments,
  updateRunning,
} from '@lockstep/shared/reduce/moments.ts';
import { combineTree } from '@lockstep/shared/reduce/tree.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

/** Moments of rows of channels, in two passes. */
function momentsOf(rows: readonly (readonly number[])[], channels: number): Moments {
  const values = new Float64Array(2 * channels);
  for (let c = 0; c < channels && rows.length > 0; c++) {
    const column = rows.map((row) => row[c] as number);
    const mean = column.reduce((a, b) => a + b, 0) / rows.length;
    values[2 * c] = mean;
    values[2 * c + 1] = column.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  }
  return { count: rows.length, values };
}

const channels = 3;
const offsets = fc.constantFrom(0, 1, -250, 1e6);
const row = fc.tuple(...Array.from({ length: channels }, () => fc.double({ min: -1, max: 1, noNaN: true })));
const shardsOfRows = fc.array(fc.array(row, { maxLength: 9 }), { minLength: 1, maxLength: 9 });

/** Largest error of mean and M2, relative to what rounding at this offset allows. */
function errorOf(found: Moments, wanted: Moments, offset: number): number {
  let worst = found.count === wanted.count ? 0 : Number.POSITIVE_INFINITY;
  for (let c = 0; c < channels; c++) {
    const scale = 1 + Math.abs(offset);
    const mean = Math.abs((found.values[2 * c] as number) - (wanted.values[2 * c] as number)) / scale;
    const m2 = Math.abs((found.values[2 * c + 1] as number) - (wanted.values[2 * c + 1] as number));
    worst = Math.max(worst, mean, m2 / scale / (1 + wanted.count));
  }
  return worst;
}

test('uneven and empty shards, a mean of a million: merged moments are those of all elements', (t) => {
  assertProperty(
    fc.property(shardsOfRows, offsets, (drafts, offset) => {
      // Each shard has its own mean, so what lies between shards counts.
      const shards = drafts.map((rows, k) => rows.map((r) => r.map((x) => x + offset + k)));
      const merged = combineTree(
        shards.length,
        (k) => momentsOf(shards[k] as number[][], channels),
        mergeMoments,
      );
      return errorOf(merged, momentsOf(shards.flat(), channels), offset) < 1e-13;
    }),
    300,
  );
  t.pass();
});

test('differences between shards count: constant shards of different values have a variance', (t) => {
  const shard = (value: number, count: number): Moments => ({ count, values: Float64Array.of(value, 0) });
  const { count, values } = mergeMoments(shard(1, 30), shard(4, 10));
  t.is(count, 40);
  t.deepEqual([...values], [1.75, 30 * 0.75 ** 2 + 10 * 2.25 ** 2]);
});

test('an empty shard changes nothing, whatever its values hold', (t) => {
  const some: Moments = { count: 5, values: Float64Array.of(2, 3) };
  const empty: Moments = { count: 0, values: Float64Array.of(Number.NaN, Number.NaN) };
  t.is(mergeMoments(some, empty), some);
  t.is(mergeMoments(empty, some), some);
  t.is(mergeMoments(empty, empty).count, 0);
});

test('merging leaves both sides as they are', (t) => {
  const a: Moments = { count: 5, values: Float64Array.of(2, 3) };
  const b: Moments = { count: 7, values: Float64Array.of(1, 8) };
  mergeMoments(a, b);
  t.deepEqual([...a.values, ...b.values], [2, 3, 1, 8]);
});

test("running statistics follow PyTorch's formula, with the unbiased variance", (t) => {
  assertProperty(
    fc.property(
      fc.array(row, { minLength: 2, maxLength: 40 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (rows, momentum) => {
        const batch = momentsOf(rows, channels);
        const mean = Float32Array.of(0.5, -3, 0);
        const variance = Float32Array.of(1, 0.25, 7);
        const [oldMean, oldVariance] = [[...mean], [...variance]];
        updateRunning(mean, variance, batch, momentum);
        return [0, 1, 2].every((c) => {
          const column = rows.map((r) => r[c] as number);
          const batchMean = column.reduce((a, b) => a + b, 0) / rows.length;
          const unbiased = column.reduce((s, x) => s + (x - batchMean) ** 2, 0) / (rows.length - 1);
          const wantedMean = (1 - momentum) * (oldMean[c] as number) + momentum * batchMean;
          const wantedVariance = (1 - momentum) * (oldVariance[c] as number) + momentum * unbiased;
          const near = (a: number, b: number) => Math.abs(a - b) <= 1e-7 * (1 + Math.abs(b));
          return near(mean[c] as number, wantedMean) && near(variance[c] as number, wantedVariance);
        });
      },
    ),
  );
  t.pass();
});

test('figures of torch.nn.BatchNorm1d: batch 1, 2, 3, 6 with momentum 0.1', (t) => {
  const mean = Float32Array.of(0);
  const variance = Float32Array.of(1);
  updateRunning(mean, variance, momentsOf([[1], [2], [3], [6]], 1), 0.1);
  t.is(mean[0], Math.fround(0.3));
  t.is(variance[0], Math.fround(0.9 + 0.1 * (14 / 3)));
});

test('a single element moves the mean and leaves the variance alone', (t) => {
  const mean = Float32Array.of(0);
  const variance = Float32Array.of(1);
  updateRunning(mean, variance, { count: 1, values: Float64Array.of(10, 0) }, 0.5);
  t.deepEqual([mean[0], variance[0]], [5, 1]);
});

test('all layers in one go: bit for bit what each layer alone gives, empty shards included', (t) => {
  const layers = [
    { layer: 'a', channel: 0, channels: 3, pixels: 49 },
    { layer: 'b', channel: 3, channels: 1, pixels: 1 },
    { layer: 'c', channel: 4, channels: 2, pixels: 6 },
  ];
  const value = fc.double({ min: -1e6, max: 1e6, noNaN: true });
  const shard = fc.record({
    samples: fc.integer({ min: 0, max: 9 }),
    values: fc.array(value, { minLength: 12, maxLength: 12 }),
  });
  assertProperty(
    fc.property(fc.array(shard, { minLength: 1, maxLength: 9 }), (drafts) => {
      const shards = drafts.map(({ samples, values }) => ({ samples, values: Float64Array.from(values) }));
      const merged = combineTree(
        shards.length,
        (k) => shards[k] as ShardMoments,
        (a, b) => mergeShardMoments(a, b, layers),
      );
      if (merged.samples !== shards.reduce((sum, { samples }) => sum + samples, 0)) return false;
      return layers.every(({ channel, channels: width, pixels }) => {
        const [from, to] = [2 * channel, 2 * (channel + width)];
        const alone = combineTree<Moments>(
          shards.length,
          (k) => {
            const { samples, values } = shards[k] as ShardMoments;
            return { count: pixels * samples, values: values.subarray(from, to) };
          },
          mergeMoments,
        );
        const found = merged.values.subarray(from, to);
        return alone.count === 0 || alone.values.every((number, i) => Object.is(number, found[i]));
      });
    }),
    300,
  );
  t.pass();
});
