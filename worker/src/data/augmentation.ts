/**
 * Augmentation and normalisation, pure: which pixel a training sample reads, and what a pixel value
 * becomes. The rank's loader applies both in one pass while it fills the input tensor.
 */
import { randomWords, toIndex } from '@lockstep/shared/base/random.ts';

/** `crop-flip`: random crop out of the image padded by 4, and a horizontal flip (He et al. 2015, section 4.2). */
export type AugmentationKind = 'none' | 'crop-flip';

/** Pixels of padding on each side out of which a crop is taken. */
export const cropPadding = 4;

/**
 * Output pixel (y, x) is input pixel (y + dy, (flip ? width - 1 - x : x) + dx). Where that lies outside
 * the image the output is 0 *after* normalisation, that is the mean colour, as if the normalised image
 * had been padded with zeros.
 */
export interface AugmentationPlan {
  /** -4..4 pixels. */
  readonly dy: number;
  /** -4..4 pixels. */
  readonly dx: number;
  readonly flip: boolean;
}

const identity: AugmentationPlan = Object.freeze({ dy: 0, dx: 0, flip: false });

/**
 * What happens to one sample in one epoch: a function of its arguments alone, so any rank that
 * computes the sample sees the same pixels.
 *
 * @param seed the recipe's seed
 * @param epoch from 0; each epoch draws anew
 * @param sample index into the training split
 */
export function planAugmentation(
  kind: AugmentationKind,
  seed: number,
  epoch: number,
  sample: number,
): AugmentationPlan {
  if (kind === 'none') return identity;
  const words = randomWords(seed, 'augment', epoch, sample);
  const shifts = 2 * cropPadding + 1;
  return {
    dy: toIndex(words[0], shifts) - cropPadding,
    dx: toIndex(words[1], shifts) - cropPadding,
    flip: words[2] >= 0x80000000,
  };
}

/**
 * `[channels][256]` float32: the normalised value of each pixel value of each channel,
 * (u8 / 255 - mean) / deviation computed in float64 and rounded once.
 *
 * @param mean, deviation one for each channel, of pixels scaled to 0..1
 */
export function normalisationTable(
  mean: readonly number[],
  deviation: readonly number[],
  channels: number,
): Float32Array<ArrayBuffer> {
  const table = new Float32Array(channels * 256);
  for (let channel = 0; channel < channels; channel++) {
    const offset = mean[channel] ?? 0;
    const scale = deviation[channel] ?? 1;
    for (let value = 0; value < 256; value++) {
      table[channel * 256 + value] = (value / 255 - offset) / scale;
    }
  }
  return table;
}
