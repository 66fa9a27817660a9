/**
 * The canonical files of each data set, byte for byte as their authors publish them, with checksums.
 * The cache holds exactly these.
 */
import type { SplitName } from './dataset.ts';

/** Lower-case hex; null where no trustworthy source is known. */
export interface Digests {
  readonly md5: string | null;
  readonly sha256: string | null;
}

export interface SourceFile extends Digests {
  readonly name: string;
  readonly split: SplitName;
  /** `cifar`: records of label bytes and planes; `images` and `labels`: IDX. */
  readonly content: 'cifar' | 'images' | 'labels';
  /** Samples in this file. */
  readonly count: number;
  readonly bytes: number;
}

/** 3 planes of 32 x 32. */
const cifarPixels = 3072;

function cifar10File(name: string, split: SplitName, md5: string, sha256: string): SourceFile {
  const count = 10_000;
  return { name, split, content: 'cifar', count, bytes: count * (1 + cifarPixels), md5, sha256 };
}

/** MD5s: of the official batches. SHA-256: of the files with these MD5s. */
export const cifar10Files: readonly SourceFile[] = [
  cifar10File(
    'data_batch_1.bin',
    'train',
    '5dd7e06a14cb22eb9f671a540d1b7c25',
    'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5',
  ),
  cifar10File(
    'data_batch_2.bin',
    'train',
    '5ea93a67294ea407fff1d09f752e9692',
    'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed',
  ),
  cifar10File(
    'data_batch_3.bin',
    'train',
    '942cd6a4bcdd0dd3c604fbe906cb4421',
    'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67',
  ),
  cifar10File(
    'data_batch_4.bin',
    'train',
    'ae636b3ba5c66a11e91e8cb52e771fcb',
    '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48',
  ),
  cifar10File(
    'data_batch_5.bin',
    'train',
    '53f37980c15c3d472c316c40844f3f0d',
    '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add',
  ),
  cifar10File(
    'test_batch.bin',
    'test',
    '803d5f7f4d78ea53de84dbe85f74fb6d',
    '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b',
  ),
];

function cifar100File(name: string, split: SplitName, count: number): SourceFile {
  return { name, split, content: 'cifar', count, bytes: count * (2 + cifarPixels), md5: null, sha256: null };
}

/** Coarse label, fine label, pixels. Only the archive's MD5 is published; the catalogue has it. */
export const cifar100Files: readonly SourceFile[] = [
  cifar100File('train.bin', 'train', 50_000),
  cifar100File('test.bin', 'test', 10_000),
];

/** IDX, raw: a header of 16 bytes before the images and of 8 before the labels. */
function imageFile(name: string, split: SplitName, count: number, digests: Digests): SourceFile {
  return { name, split, content: 'images', count, bytes: 16 + count * 28 * 28, ...digests };
}

function labelFile(name: string, split: SplitName, count: number, digests: Digests): SourceFile {
  return { name, split, content: 'labels', count, bytes: 8 + count, ...digests };
}

/** MD5s: of the unpacked official files. SHA-256: of the files with these MD5s. */
export const mnistFiles: readonly SourceFile[] = [
  imageFile('train-images-idx3-ubyte', 'train', 60_000, {
    md5: '6bbc9ace898e44ae57da46a324031adb',
    sha256: 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
  }),
  labelFile('train-labels-idx1-ubyte', 'train', 60_000, {
    md5: 'a25bea736e30d166cdddb491f175f624',
    sha256: '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
  }),
  imageFile('t10k-images-idx3-ubyte', 'test', 10_000, {
    md5: '2646ac647ad5339dbf082846283269ea',
    sha256: '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
  }),
  labelFile('t10k-labels-idx1-ubyte', 'test', 10_000, {
    md5: '27ae3e4e09519cfbb04c329615203637',
    sha256: 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
  }),
];

/** MD5s: of the unpacked official files, which several loaders publish beside those of the .gz files. */
export const fashionFiles: readonly SourceFile[] = [
  imageFile('train-images-idx3-ubyte', 'train', 60_000, {
    md5: 'f4a8712d7a061bf5bd6d2ca38dc4d50a',
    sha256: null,
  }),
  labelFile('train-labels-idx1-ubyte', 'train', 60_000, {
    md5: '9018921c3c673c538a1fc5bad174d6f9',
    sha256: null,
  }),
  imageFile('t10k-images-idx3-ubyte', 'test', 10_000, {
    md5: '8181f5470baa50b63fa0f6fddb340f0a',
    sha256: null,
  }),
  labelFile('t10k-labels-idx1-ubyte', 'test', 10_000, {
    md5: '15d484375f8d13e6eb1aabb0c3f46965',
    sha256: null,
  }),
];
