/**
 * A data set that needs no files: patterns that a small convnet learns in a few dozen steps and that
 * a linear model cannot, because every image has its own phase and its own colours.
 *
 * Every class is its own mirror image, so the `crop-flip` augmentation is as valid here as on photos.
 * Only + - * / sqrt and floor are used: the bytes are the same on every platform.
 */
import { createHash } from 'node:crypto';
import { randomWords, toUnit } from '@lockstep/shared/base/random.ts';
import type { DatasetEntry } from './catalogue.ts';
import type { Dataset, ImageSplit } from './dataset.ts';

/** The data set is part of the recipe's meaning, so its seed is fixed here and not the recipe's. */
const syntheticSeed = 2015;

/** Length of the fine and of the coarse waves in pixels; each image stretches its own by up to +-12 %. */
const waveLengths = [5, 10] as const;

/** Random words per image: more than any image draws outside its noise. */
const drawBlocks = 4;

/** Half the width of the uniform noise, in units of a pixel's 0..255. */
const noiseAmplitude = 40;

/** A triangle wave of period 1 and range -1..1. */
function wave(phase: number): number {
  const fraction = phase - Math.floor(phase);
  return fraction < 0.5 ? 4 * fraction - 1 : 3 - 4 * fraction;
}

/** Pattern value in -1..1 at (y, x) waves from the image's own origin. */
function patternAt(pattern: number, y: number, x: number): number {
  if (pattern === 0) return wave(x);
  if (pattern === 1) return wave(y);
  if (pattern === 2) return wave(x) * wave(y);
  if (pattern === 3) return wave(Math.sqrt(y * y + x * x));
  // Both diagonals at once: a lattice at 45 degrees, mirrored onto itself.
  return (wave((y + x) * Math.SQRT1_2) + wave((y - x) * Math.SQRT1_2)) / 2;
}

/** Uniform draws in 0..1 for one image. */
function drawsOf(splitStart: number, sample: number): number[] {
  const draws: number[] = [];
  for (let block = 0; block < drawBlocks; block++) {
    for (const word of randomWords(syntheticSeed, 'synthetic', splitStart + sample, block)) {
      draws.push(toUnit(word));
    }
  }
  return draws;
}

interface Look {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Writes one image, `[height][width][channels]`, at `offset`. */
function paintImage(
  target: Uint8Array,
  offset: number,
  look: Look,
  label: number,
  draws: number[],
  counter: number,
): void {
  const { height, width, channels } = look;
  const draw = (index: number): number => draws[index] ?? 0;
  const length = (waveLengths[label % 2] ?? 5) * (0.88 + 0.24 * draw(0));
  const pattern = Math.floor(label / 2);
  // Rings need a centre inside the image; for the others the origin is merely a phase.
  const originY = height * (0.2 + 0.6 * draw(1));
  const originX = width * (0.2 + 0.6 * draw(2));
  const phase = draw(3);
  const contrast = (35 + 55 * draw(4)) * (draw(5) < 0.5 ? -1 : 1);
  const slopeY = (draw(6) - 0.5) * 2;
  const slopeX = (draw(7) - 0.5) * 2;
  const base: number[] = [];
  const tint: number[] = [];
  for (let channel = 0; channel < channels; channel++) {
    base.push(80 + 96 * draw(8 + channel));
    tint.push(0.5 + 0.5 * draw(11 + channel));
  }

  let at = offset;
  let element = 0;
  let noise = randomWords(syntheticSeed, 'synthetic', counter, drawBlocks, 0);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = patternAt(pattern, (y - originY) / length + phase, (x - originX) / length + phase);
      const shade = slopeY * (y - height / 2) + slopeX * (x - width / 2);
      for (let channel = 0; channel < channels; channel++) {
        // Sixteen bytes of noise from one block of four words.
        const inBlock = element & 15;
        if (inBlock === 0)
          noise = randomWords(syntheticSeed, 'synthetic', counter, drawBlocks, element >>> 4);
        const byte = ((noise[inBlock >>> 2] ?? 0) >>> ((inBlock & 3) * 8)) & 255;
        const grain = ((byte - 127.5) / 127.5) * noiseAmplitude;
        const level = (base[channel] ?? 0) + contrast * (tint[channel] ?? 0) * value + shade + grain;
        target[at++] = Math.max(0, Math.min(255, Math.floor(level + 0.5)));
        element++;
      }
    }
  }
}

function generateSplit(entry: DatasetEntry, count: number, splitStart: number): ImageSplit {
  const size = entry.height * entry.width * entry.channels;
  const images = new Uint8Array(new SharedArrayBuffer(count * size));
  const labels = new Uint8Array(new SharedArrayBuffer(count));
  for (let sample = 0; sample < count; sample++) {
    const label = sample % entry.classes.length;
    labels[sample] = label;
    paintImage(images, sample * size, entry, label, drawsOf(splitStart, sample), splitStart + sample);
  }
  const sha256 = createHash('sha256').update(images).update(labels).digest('hex');
  return { count, images, labels, sha256 };
}

/**
 * Generates a data set of format `generated`: the classes in turn, so every prefix is balanced.
 * Deterministic: the same bytes on every machine and in every run.
 */
export function generateDataset(entry: DatasetEntry): Dataset {
  const { name, title, classes, height, width, channels, mean, deviation } = entry;
  return {
    name,
    title,
    classes,
    height,
    width,
    channels,
    mean,
    deviation,
    train: generateSplit(entry, entry.trainCount, 0),
    // Counters far beyond the training split: no test image shares its numbers.
    test: generateSplit(entry, entry.testCount, 0x40000000),
  };
}
