/** The generated data sets: the same everywhere, balanced, and with structure that a convnet can use. */
import { describeDataset } from '@lockstep/worker/data/catalogue.ts';
import type { Dataset, ImageSplit } from '@lockstep/worker/data/dataset.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import test from 'ava';

const names = ['synthetic', 'synthetic-mnist'];

/**
 * Accuracy on the test split of: the class whose mean feature vector is nearest, features scaled by their
 * deviation over the training split.
 */
function nearestMean(dataset: Dataset, features: (split: ImageSplit, sample: number) => number[]): number {
  const train = Array.from({ length: dataset.train.count }, (_, s) => features(dataset.train, s));
  const size = train[0]?.length ?? 0;
  const scale = Array.from({ length: size }, (_, f) => {
    const mean = train.reduce((sum, row) => sum + (row[f] ?? 0), 0) / train.length;
    return Math.sqrt(train.reduce((sum, row) => sum + ((row[f] ?? 0) - mean) ** 2, 0) / train.length) || 1;
  });
  const means = dataset.classes.map((_, label) => {
    const rows = train.filter((_row, s) => dataset.train.labels[s] === label);
    return Array.from(
      { length: size },
      (__, f) => rows.reduce((sum, row) => sum + (row[f] ?? 0), 0) / rows.length,
    );
  });
  let right = 0;
  for (let sample = 0; sample < dataset.test.count; sample++) {
    const row = features(dataset.test, sample);
    const distances = means.map((mean) =>
      mean.reduce((sum, value, f) => sum + ((value - (row[f] ?? 0)) / (scale[f] ?? 1)) ** 2, 0),
    );
    if (distances.indexOf(Math.min(...distances)) === dataset.test.labels[sample]) right++;
  }
  return right / dataset.test.count;
}

for (const name of names) {
  test(`${name}: the bytes are pinned, and have the statistics of the catalogue`, async (t) => {
    const dataset = await openDataset(name);
    const { sha256 } = describeDataset(name);
    t.deepEqual({ train: dataset.train.sha256, test: dataset.test.sha256 }, sha256);
    t.is(dataset.train.images.length, 2048 * dataset.height * dataset.width * dataset.channels);
    t.is(dataset.test.labels.length, 512);
    const { images } = dataset.train;
    for (let channel = 0; channel < dataset.channels; channel++) {
      const values = images.filter((_, at) => at % dataset.channels === channel);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length / 255;
      const variance = values.reduce((sum, value) => sum + (value / 255 - mean) ** 2, 0) / values.length;
      t.true(Math.abs(mean - (dataset.mean[channel] ?? 0)) < 1e-4, `${mean}`);
      t.true(Math.abs(Math.sqrt(variance) - (dataset.deviation[channel] ?? 0)) < 1e-4);
    }
  });

  test(`${name}: every class equally often, no image twice`, async (t) => {
    const dataset = await openDataset(name);
    const size = dataset.height * dataset.width * dataset.channels;
    const seen = new Set<string>();
    for (const split of [dataset.train, dataset.test]) {
      const counts = Array.from({ length: 10 }, () => 0);
      for (const label of split.labels) counts[label] = (counts[label] ?? 0) + 1;
      t.true(Math.max(...counts) - Math.min(...counts) <= 1);
      for (let s = 0; s < split.count; s++) {
        seen.add(Buffer.from(split.images.subarray(s * size, s * size + 64)).toString('latin1'));
      }
    }
    t.is(seen.size, 2560);
  });

  test(`${name}: pixels alone say little, local structure says nearly everything`, async (t) => {
    const dataset = await openDataset(name);
    const { height, width, channels } = dataset;
    const pixel = (split: ImageSplit, sample: number, y: number, x: number): number =>
      split.images[((sample * height + y) * width + x) * channels] ?? 0;

    const pixels = nearestMean(dataset, (split, sample) => {
      return Array.from({ length: height * width }, (_, at) =>
        pixel(split, sample, Math.floor(at / width), at % width),
      );
    });
    // Correlation of the image with itself, shifted: what a bank of convolutions followed by a pool can see.
    const structure = nearestMean(dataset, (split, sample) => {
      let mean = 0;
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) mean += pixel(split, sample, y, x);
      mean /= height * width;
      const shifts: number[] = [];
      for (let dy = 0; dy <= 6; dy++) {
        for (let dx = 0; dx <= 6; dx++) {
          let sum = 0;
          for (let y = 0; y + dy < height; y++) {
            for (let x = 0; x + dx < width; x++) {
              sum += (pixel(split, sample, y, x) - mean) * (pixel(split, sample, y + dy, x + dx) - mean);
            }
          }
          shifts.push(sum / ((height - dy) * (width - dx)));
        }
      }
      const total = Math.hypot(...shifts.slice(1)) || 1;
      return shifts.slice(1).map((value) => value / total);
    });
    t.log(`nearest mean of pixels ${pixels}, of correlations ${structure}`);
    t.true(pixels < 0.4);
    t.true(structure > 0.75);
  });
}
