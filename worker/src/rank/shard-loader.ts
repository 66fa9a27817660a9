/** Puts a shard's images and labels where the program reads them, augmented and normalised. */
import type { KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import type { Program } from '@lockstep/shared/model/program.ts';
import type { Arena } from '@lockstep/shared/tensor/arena.ts';
import { type AugmentationKind, planAugmentation } from '../data/augmentation.ts';
import type { ImageSplit } from '../data/dataset.ts';

export interface LoadRequest {
  readonly split: ImageSplit;
  /** Indices into the split, one for each image of the program's shard. */
  readonly samples: readonly number[];
  readonly augmentation: AugmentationKind;
  readonly seed: number;
  readonly epoch: number;
}

/** One memory copy and one kernel call an image. */
export function loadShard(
  arena: Arena,
  kernels: KernelInstance,
  program: Program,
  request: LoadRequest,
): void {
  const { height, width, channels } = program.model.images;
  const { bytes, images, imagesHalo, labels } = program.input;
  const imageSize = height * width * channels;
  const { split, samples, augmentation, seed, epoch } = request;
  samples.forEach((sample, n) => {
    const pixels = split.images.subarray(sample * imageSize, (sample + 1) * imageSize);
    arena.bytes.set(pixels, bytes + n * imageSize);
    arena.integers[labels / 4 + n] = split.labels[sample] as number;
    const { dy, dx, flip } = planAugmentation(augmentation, seed, epoch, sample);
    const place = [images, imagesHalo, n, height, width, channels] as const;
    kernels.loadImage(bytes, n, ...place, dy, dx, Number(flip), program.regions.pixelTable);
  });
}
