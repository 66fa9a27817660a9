/** The IDX format of MNIST: a big-endian header, then unsigned bytes. */

/** Unsigned bytes in 3 dimensions: count, rows, columns. */
const imageMagic = 0x00000803;
/** Unsigned bytes in 1 dimension. */
const labelMagic = 0x00000801;

/** A header field that is not as expected; null when all is well. */
export interface HeaderFault {
  readonly quality: string;
  readonly expected: number;
  readonly found: number;
}

const headerFields = ['IDX magic number', 'IDX count', 'IDX rows', 'IDX columns'];

function compareHeader(file: Uint8Array, expected: readonly number[]): HeaderFault | null {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (const [index, value] of expected.entries()) {
    const found = view.byteLength >= 4 * index + 4 ? view.getUint32(4 * index) : -1;
    if (found !== value) return { quality: headerFields[index] ?? 'IDX header', expected: value, found };
  }
  return null;
}

/** Bytes of the header: 16 before images, 8 before labels. */
export function idxHeaderBytes(content: 'images' | 'labels'): number {
  return content === 'images' ? 16 : 8;
}

/** Checks the header of a file of `count` images of `height` x `width`. */
export function checkIdxImages(
  file: Uint8Array,
  count: number,
  height: number,
  width: number,
): HeaderFault | null {
  return compareHeader(file, [imageMagic, count, height, width]);
}

/** Checks the header of a file of `count` labels. */
export function checkIdxLabels(file: Uint8Array, count: number): HeaderFault | null {
  return compareHeader(file, [labelMagic, count]);
}
