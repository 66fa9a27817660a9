/** Totals of the points of a step: any subtrees, in any order, twice or late, give the bits of the tree. */
import { SyncStep } from '@lockstep/coordinator/reduce/sync-step.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import {
  mergePoint,
  type PointPart,
  syncPointCount,
  syncPointOf,
} from '@lockstep/shared/model/sync-points.ts';
import { combineTree, splitWidth } from '@lockstep/shared/reduce/tree.ts';
import test from 'ava';
import fc from 'fast-check';
import { noise } from '../../helpers/kernel-check.ts';
import { assertProperty } from '../../helpers/property.ts';
import { zooModels } from '../../helpers/test-models.ts';

const layout = layOut(zooModels.find(({ name }) => name === 'resnet8-B') as Model);
const points = syncPointCount(layout);

/** What a shard adds to a point. */
function partOf(samples: readonly number[], shard: number, point: number): PointPart {
  const { channels, pixels } = syncPointOf(layout, point);
  const random = noise(shard * 31 + point);
  const values = Float64Array.from(
    { length: 2 * channels },
    (_, i) => random(i) * 10 ** (3 * random(i + 99)),
  );
  return { count: (samples[shard] as number) * pixels, values };
}

function rangePart(samples: readonly number[], from: number, width: number, point: number): PointPart {
  const { direction } = syncPointOf(layout, point);
  return combineTree<PointPart>(
    width,
    (i) => partOf(samples, from + i, point),
    (a, b) => mergePoint(direction, a, b),
  );
}

test('any tiling, any order, duplicates and latecomers: the same totals, each once, in order', (t) => {
  const drawn = fc.record({
    samples: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 9 }),
    coins: fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }),
    seed: fc.integer({ min: 0, max: 1e6 }),
  });
  assertProperty(
    fc.property(drawn, ({ samples: some, coins, seed }) => {
      const samples = [...some, 1];
      let next = 0;
      const messages: { from: number; width: number; point: number; values: Float64Array }[] = [];
      for (let point = 0; point < points; point++) {
        const cover = (from: number, width: number): void => {
          if (width === 1 || coins[next++ % coins.length]) {
            const message = { from, width, point, values: rangePart(samples, from, width, point).values };
            messages.push(message);
            if (coins[next++ % coins.length]) messages.push(message);
            return;
          }
          const left = splitWidth(width);
          cover(from, left);
          cover(from + left, width - left);
        };
        cover(0, samples.length);
      }
      const random = noise(seed);
      const order = messages
        .map((message, i) => ({ message, at: random(i) }))
        .toSorted((a, b) => a.at - b.at);
      const step = new SyncStep(layout, samples);
      const totals = order.flatMap(({ message: { from, width, point, values } }) =>
        step.add({ from, width }, point, values),
      );
      if (totals.map(({ point }) => point).join(' ') !== [...Array(points).keys()].join(' ')) {
        throw new Error(`points ${totals.map(({ point }) => point).join(' ')}`);
      }
      for (const { point, values } of totals) {
        const wanted = rangePart(samples, 0, samples.length, point).values;
        if (values.some((x, i) => !Object.is(x, wanted[i]))) throw new Error(`the bits of point ${point}`);
      }
      return step.totals.length === points;
    }),
    60,
  );
  t.pass();
});

test('a missing shard leaves the point open', (t) => {
  const samples = [2, 2, 2];
  const step = new SyncStep(layout, samples);
  t.deepEqual(step.add({ from: 0, width: 2 }, 0, rangePart(samples, 0, 2, 0).values), []);
  t.deepEqual(step.add({ from: 2, width: 1 }, 1, rangePart(samples, 2, 1, 1).values), []);
  t.is(step.add({ from: 2, width: 1 }, 0, rangePart(samples, 2, 1, 0).values).length, 1);
  t.is(step.add({ from: 0, width: 2 }, 1, rangePart(samples, 0, 2, 1).values).length, 1);
});
