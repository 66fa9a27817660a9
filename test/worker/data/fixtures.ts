/** Small data sets of the real formats, and archives of them, built byte by byte. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { crc32, deflateSync, gzipSync } from 'node:zlib';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { DatasetEntry } from '@lockstep/worker/data/catalogue.ts';
import type { SourceFile } from '@lockstep/worker/data/source-files.ts';
import type { ExecutionContext } from 'ava';

export type Files = ReadonlyMap<string, Uint8Array>;

/** A folder of its own for one test, deleted afterwards. */
export async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-data-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function writeFiles(folder: string, files: Files): Promise<string> {
  for (const [name, bytes] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
  return folder;
}

/** Every file below a folder, sorted. */
export async function listFiles(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  return found
    .filter((item) => item.isFile())
    .map((item) => item.name)
    .toSorted();
}

/** Runs what must fail and returns its error. */
export async function failure(work: Promise<unknown>): Promise<LockstepError> {
  try {
    await work;
  } catch (thrown) {
    if (thrown instanceof LockstepError) return thrown;
    throw thrown;
  }
  throw new Error('it did not fail');
}

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

/** Pixel of sample, channel and position: all different enough to notice a mix-up. */
export function pixelValue(sample: number, channel: number, position: number): number {
  return (sample * 31 + channel * 85 + position * 3) & 255;
}

export const samplesPerFile = 10;
const side = 4;

function cifarBytes(first: number, labelBytes: number, labelOf: (sample: number) => number): Uint8Array {
  const bytes: number[] = [];
  for (let sample = first; sample < first + samplesPerFile; sample++) {
    for (let label = 1; label < labelBytes; label++) bytes.push(77);
    bytes.push(labelOf(sample));
    for (let channel = 0; channel < 3; channel++) {
      for (let at = 0; at < side * side; at++) bytes.push(pixelValue(sample, channel, at));
    }
  }
  return Uint8Array.from(bytes);
}

export interface Fixture {
  readonly entry: DatasetEntry;
  readonly files: Files;
}

const noOrigin = { mean: [0.5], deviation: [0.25], classes: ['a', 'b', 'c'], sha256: null } as const;
const tinyPackage = { name: 'tiny-data', version: '1.0.0', bytes: 1000, layout: 'files' } as const;

/** Two training files and a test file in CIFAR's format; `labelBytes` 2 has no pinned checksums, as CIFAR-100. */
export function cifarFixture(labelBytes: 1 | 2 = 1): Fixture {
  const names = ['data_batch_1.bin', 'data_batch_2.bin', 'test_batch.bin'];
  const files = new Map(
    names.map((name, i) => [name, cifarBytes(i * samplesPerFile, labelBytes, (s) => s % 3)]),
  );
  const sources = names.map((name, index): SourceFile => {
    const bytes = files.get(name) ?? new Uint8Array();
    const pinned = labelBytes === 1 ? md5(bytes) : null;
    const split = index < 2 ? 'train' : 'test';
    return {
      name,
      split,
      content: 'cifar',
      count: samplesPerFile,
      bytes: bytes.length,
      md5: pinned,
      sha256: null,
    };
  });
  const entry: DatasetEntry = {
    ...noOrigin,
    name: 'tiny',
    title: 'Tiny',
    height: side,
    width: side,
    channels: 3,
    trainCount: 2 * samplesPerFile,
    testCount: samplesPerFile,
    format: 'cifar',
    labelBytes,
    files: sources,
    source: labelBytes === 1 ? tinyPackage : null,
    official: { page: 'https://example.test/tiny', archive: 'tiny-binary.tar.gz', archiveMd5: null },
  };
  return { entry, files };
}

function idxBytes(magic: number, dimensions: readonly number[], values: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header.writeUInt32BE(magic, 0);
  for (const [index, size] of dimensions.entries()) header.writeUInt32BE(size, 4 + 4 * index);
  return Uint8Array.from(Buffer.concat([header, values]));
}

/** The four files of MNIST with 6 training and 3 test images of 5 x 4 pixels. */
export function idxFixture(): Fixture {
  const files = new Map<string, Uint8Array>();
  const sources: SourceFile[] = [];
  const add = (
    name: string,
    split: 'train' | 'test',
    content: 'images' | 'labels',
    count: number,
    bytes: Uint8Array,
  ): void => {
    files.set(name, bytes);
    sources.push({ name, split, content, count, bytes: bytes.length, md5: md5(bytes), sha256: null });
  };
  for (const [split, prefix, count] of [
    ['train', 'train', 6],
    ['test', 't10k', 3],
  ] as const) {
    const pixels = Uint8Array.from({ length: count * 20 }, (_, i) =>
      pixelValue(Math.floor(i / 20), 0, i % 20),
    );
    const labels = Uint8Array.from({ length: count }, (_, i) => (i * 2) % 3);
    add(`${prefix}-images-idx3-ubyte`, split, 'images', count, idxBytes(0x803, [count, 5, 4], pixels));
    add(`${prefix}-labels-idx1-ubyte`, split, 'labels', count, idxBytes(0x801, [count], labels));
  }
  const entry: DatasetEntry = {
    ...noOrigin,
    name: 'tiny-grey',
    title: 'Tiny grey',
    height: 5,
    width: 4,
    channels: 1,
    trainCount: 6,
    testCount: 3,
    format: 'idx',
    labelBytes: 0,
    files: sources,
    source: tinyPackage,
    official: null,
  };
  return { entry, files };
}

/** A gzipped tar archive (ustar). */
export function makeTarball(files: Files, folder = 'package'): Buffer {
  const blocks: Buffer[] = [];
  for (const [name, bytes] of files) {
    const header = Buffer.alloc(512);
    header.write(`${folder}/${name}`, 0);
    header.write('0000644\0', 100);
    header.write('0000000\0', 108);
    header.write('0000000\0', 116);
    header.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('00000000000\0', 136);
    header.write('        ', 148);
    header.write('0', 156);
    header.write('ustar\x0000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    blocks.push(header, Buffer.from(bytes), Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}

function pngChunk(kind: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(kind, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

/** An 8-bit RGB PNG; `rgb` is `[height][width][3]`. */
export function makePng(width: number, height: number, rgb: Uint8Array): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const rows: Buffer[] = [];
  for (let row = 0; row < height; row++) {
    rows.push(Buffer.from([0]), Buffer.from(rgb.subarray(row * width * 3, (row + 1) * width * 3)));
  }
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = pngChunk('IDAT', deflateSync(Buffer.concat(rows)));
  return Buffer.concat([signature, pngChunk('IHDR', header), data, pngChunk('IEND', Buffer.alloc(0))]);
}
