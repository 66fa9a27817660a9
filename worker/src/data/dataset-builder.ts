/**
 * From the canonical files of a data set, one after the other, to the data set in shared memory. A node does this while
 * its coordinator waits for heartbeats, so the thread is never kept for longer than a piece takes.
 */
import { setImmediate as breathe } from 'node:timers/promises';
import type { DatasetEntry } from './catalogue.ts';
import { readCifarRecords, recordBytes } from './cifar-binary.ts';
import type { Dataset, ImageSplit } from './dataset.ts';
import { idxHeaderBytes } from './idx.ts';
import { digestBytes } from './integrity.ts';
import type { SourceFile } from './source-files.ts';

/** Records that are unpacked at a time: a few milliseconds. */
const recordsAtOnce = 500;

/** A split that is being filled, file by file. */
interface OpenSplit {
  readonly count: number;
  readonly images: Uint8Array<SharedArrayBuffer>;
  readonly labels: Uint8Array<SharedArrayBuffer>;
  /** Samples filled so far, where a split lies in several files. */
  filled: number;
}

export class DatasetBuilder {
  private readonly entry: DatasetEntry;
  private readonly splits: Readonly<Record<'train' | 'test', OpenSplit>>;

  constructor(entry: DatasetEntry) {
    this.entry = entry;
    this.splits = { train: emptySplit(entry, entry.trainCount), test: emptySplit(entry, entry.testCount) };
  }

  /** Takes a file that was checked. Files come in the catalogue's order; the bytes may be overwritten afterwards. */
  async take(file: SourceFile, bytes: Uint8Array): Promise<void> {
    const { entry } = this;
    const split = this.splits[file.split];
    if (file.content !== 'cifar') {
      const target = file.content === 'images' ? split.images : split.labels;
      target.set(bytes.subarray(idxHeaderBytes(file.content)));
      return;
    }
    const size = recordBytes(entry) * recordsAtOnce;
    for (let at = 0; at < bytes.length; at += size) {
      const records = bytes.subarray(at, at + size);
      readCifarRecords(records, entry, split.images, split.labels, split.filled);
      split.filled += records.length / recordBytes(entry);
      await breathe();
    }
  }

  /** All files have been taken. */
  async close(): Promise<Dataset> {
    const { name, title, classes, height, width, channels, mean, deviation } = this.entry;
    const train = await closeSplit(this.splits.train);
    const test = await closeSplit(this.splits.test);
    return { name, title, classes, height, width, channels, mean, deviation, train, test };
  }
}

function emptySplit(entry: DatasetEntry, count: number): OpenSplit {
  return {
    count,
    images: new Uint8Array(new SharedArrayBuffer(count * entry.height * entry.width * entry.channels)),
    labels: new Uint8Array(new SharedArrayBuffer(count)),
    filled: 0,
  };
}

async function closeSplit({ count, images, labels }: OpenSplit): Promise<ImageSplit> {
  return { count, images, labels, sha256: await digestBytes('sha256', images, labels) };
}
