/**
 * The binary version of CIFAR: records of label bytes, then the red, green and blue planes
 * (https://www.cs.toronto.edu/~kriz/cifar.html). In memory images are [height][width][3].
 */

export interface RecordShape {
  /** Label bytes in front of each image; the last of them is the label (the fine one of CIFAR-100). */
  readonly labelBytes: number;
  readonly height: number;
  readonly width: number;
}

/** Bytes of one record. */
export function recordBytes(shape: RecordShape): number {
  return shape.labelBytes + shape.height * shape.width * 3;
}

/**
 * Unpacks whole records into `images` ([sample][height][width][3]) and `labels`, from sample `first` on.
 */
export function readCifarRecords(
  file: Uint8Array,
  shape: RecordShape,
  images: Uint8Array,
  labels: Uint8Array,
  first: number,
): void {
  const plane = shape.height * shape.width;
  const size = recordBytes(shape);
  const count = Math.floor(file.length / size);
  let to = first * plane * 3;
  for (let record = 0; record < count; record++) {
    const start = record * size + shape.labelBytes;
    labels[first + record] = file[start - 1] ?? 0;
    for (let red = start; red < start + plane; red++) {
      images[to] = file[red] ?? 0;
      images[to + 1] = file[red + plane] ?? 0;
      images[to + 2] = file[red + 2 * plane] ?? 0;
      to += 3;
    }
  }
}

/**
 * Packs images into records.
 *
 * @param pixels `[count][height][width][stride]`; of each stride the first 3 are red, green, blue
 * @param labels `[count]`; goes into the last label byte, the others are 0
 */
export function packCifarRecords(
  pixels: Uint8Array,
  stride: number,
  labels: ArrayLike<number>,
  shape: RecordShape,
): Uint8Array {
  const plane = shape.height * shape.width;
  const size = recordBytes(shape);
  const file = new Uint8Array(labels.length * size);
  let from = 0;
  for (let record = 0; record < labels.length; record++) {
    const start = record * size + shape.labelBytes;
    file[start - 1] = labels[record] ?? 0;
    for (let red = start; red < start + plane; red++) {
      file[red] = pixels[from] ?? 0;
      file[red + plane] = pixels[from + 1] ?? 0;
      file[red + 2 * plane] = pixels[from + 2] ?? 0;
      from += stride;
    }
  }
  return file;
}
