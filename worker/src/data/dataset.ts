/**
 * A data set in memory, as every rank sees it. All bytes lie in shared memory, so posting a `Dataset`
 * to a thread copies two pointers and not 180 MB.
 */

export interface ImageSplit {
  /** Number of samples. */
  readonly count: number;
  /** `[count][height][width][channels]`, 0..255. */
  readonly images: Uint8Array<SharedArrayBuffer>;
  /** `[count]`, indices into the data set's `classes`. */
  readonly labels: Uint8Array<SharedArrayBuffer>;
  /** SHA-256 over the images, then the labels: lower-case hex. */
  readonly sha256: string;
}

export interface Dataset {
  /** The name in recipes, for example `cifar10`. */
  readonly name: string;
  /** The name for people, for example `CIFAR-10`. */
  readonly title: string;
  readonly classes: readonly string[];
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Mean of each channel over the training split, of pixels scaled to 0..1. */
  readonly mean: readonly number[];
  /** Standard deviation of each channel over the training split, of pixels scaled to 0..1. */
  readonly deviation: readonly number[];
  readonly train: ImageSplit;
  readonly test: ImageSplit;
}

export type SplitName = 'train' | 'test';
