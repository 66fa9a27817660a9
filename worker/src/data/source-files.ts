/**
 * The canonical files of each data set, byte for byte as their authors publish them, with checksums.
 * The cache holds exactly these.
 */
import type { SplitName } from './dataset.ts';

export interface SourceFile {
  readonly name: string;
  readonly split: SplitName;
  /** `cifar`: records of label bytes and planes; `images` and `labels`: IDX. */
  readonly content: 'cifar' | 'images' | 'labels';
  /** Samples in this file. */
  readonly count: number;
  readonly bytes: number;
  /** Lower-case hex; null where no trustworthy source is known. */
  readonly md5: string | null;
}

/** Label bytes and 3 * 32 * 32 pixels. */
function cifarFile(
  name: string,
  split: SplitName,
  count: number,
  labelBytes: number,
  md5: string | null,
): SourceFile {
  return { name, split, content: 'cifar', count, bytes: count * (labelBytes + 3072), md5 };
}

/** MD5s: the official batches, as published with the archive's contents in many loaders. */
export const cifar10Files: readonly SourceFile[] = [
  cifarFile('data_batch_1.bin', 'train', 10_000, 1, '5dd7e06a14cb22eb9f671a540d1b7c25'),
  cifarFile('data_batch_2.bin', 'train', 10_000, 1, '5ea93a67294ea407fff1d09f752e9692'),
  cifarFile('data_batch_3.bin', 'train', 10_000, 1, '942cd6a4bcdd0dd3c604fbe906cb4421'),
  cifarFile('data_batch_4.bin', 'train', 10_000, 1, 'ae636b3ba5c66a11e91e8cb52e771fcb'),
  cifarFile('data_batch_5.bin', 'train', 10_000, 1, '53f37980c15c3d472c316c40844f3f0d'),
  cifarFile('test_batch.bin', 'test', 10_000, 1, '803d5f7f4d78ea53de84dbe85f74fb6d'),
];

/** Coarse label, fine label, pixels. Only the archive's MD5 is published; the catalogue has it. */
export const cifar100Files: readonly SourceFile[] = [
  cifarFile('train.bin', 'train', 50_000, 2, null),
  cifarFile('test.bin', 'test', 10_000, 2, null),
];

/** The four IDX files, raw: headers of 16 and 8 bytes. MD5s in the order of the files. */
function idxFiles(md5: readonly [string, string, string, string]): readonly SourceFile[] {
  return [
    {
      name: 'train-images-idx3-ubyte',
      split: 'train',
      content: 'images',
      count: 60_000,
      bytes: 47_040_016,
      md5: md5[0],
    },
    {
      name: 'train-labels-idx1-ubyte',
      split: 'train',
      content: 'labels',
      count: 60_000,
      bytes: 60_008,
      md5: md5[1],
    },
    {
      name: 't10k-images-idx3-ubyte',
      split: 'test',
      content: 'images',
      count: 10_000,
      bytes: 7_840_016,
      md5: md5[2],
    },
    {
      name: 't10k-labels-idx1-ubyte',
      split: 'test',
      content: 'labels',
      count: 10_000,
      bytes: 10_008,
      md5: md5[3],
    },
  ];
}

export const mnistFiles = idxFiles([
  '6bbc9ace898e44ae57da46a324031adb',
  'a25bea736e30d166cdddb491f175f624',
  '2646ac647ad5339dbf082846283269ea',
  '27ae3e4e09519cfbb04c329615203637',
]);

/** Of the unpacked files; loaders publish these beside the MD5s of the .gz files. */
export const fashionFiles = idxFiles([
  'f4a8712d7a061bf5bd6d2ca38dc4d50a',
  '9018921c3c673c538a1fc5bad174d6f9',
  '8181f5470baa50b63fa0f6fddb340f0a',
  '15d484375f8d13e6eb1aabb0c3f46965',
]);
