/**
 * A frame: `u32 header length | u32 CRC-32 | msgpack header | zero padding to a multiple of 8 | payload`, all
 * little-endian. Tensors are payload and never pass through msgpack. This form is the same in all versions.
 *
 * The CRC-32 covers everything but itself. TCP's own checksum ends at every proxy and misses one error in 65,536;
 * a flipped bit in a gradient would become part of the result, unnoticed, and one run would differ from another.
 */
import { crc32 } from 'node:zlib';
// Not the main entry: that one loads a native string decoder, and strangers' bytes are no place for it.
import { Packr } from 'msgpackr/pack';
import { Unpackr } from 'msgpackr/unpack';
import { headerTrouble } from './header-scan.ts';
import type { Limits } from './limits.ts';
import { type Refusal, refusal } from './refusal.ts';

/** Bytes in front of the header. */
const prefixBytes = 8;

const packer = new Packr({ useRecords: false, variableMapSize: true });
const unpacker = new Unpackr({ useRecords: false, mapsAsObjects: true });

/** A message, or anything else that msgpack writes as a map of plain values; no `undefined`, and -0 arrives as 0. */
export type Header = Readonly<Record<string, unknown>>;

export interface Frame {
  readonly ok: true;
  readonly header: Header;
  /** 8-aligned; a view of the frame where that is aligned, else a copy. */
  readonly payload: Uint8Array;
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** CRC-32 of the header length, then of everything behind the checksum. */
function checksum(lengthBytes: Uint8Array, rest: Uint8Array): number {
  return crc32(rest, crc32(lengthBytes));
}

/** Where a frame is made; the memory may hold anything. @param bytes its size */
type Allocate = (bytes: number) => Uint8Array<ArrayBuffer>;

const fresh: Allocate = (bytes) => new Uint8Array(bytes);

/** Writes prefix, header and padding into a frame of `frameBytes`; the checksum is still to come. */
function writeHead(
  header: Header,
  payloadBytes: number,
  allocate: Allocate,
): { frame: Uint8Array<ArrayBuffer>; headBytes: number } {
  const packed = packer.pack(header);
  const headBytes = prefixBytes + padded(packed.length);
  const frame = allocate(headBytes + payloadBytes);
  frame.set(packed, prefixBytes);
  frame.fill(0, prefixBytes + packed.length, headBytes);
  new DataView(frame.buffer).setUint32(0, packed.length, true);
  return { frame, headBytes };
}

function writeChecksum(frame: Uint8Array): void {
  const sum = checksum(frame.subarray(0, 4), frame.subarray(prefixBytes));
  new DataView(frame.buffer).setUint32(4, sum, true);
}

/** A frame in one block of memory; the payload is the views' bytes, one behind the other. */
export function encodeFrame(header: Header, ...payload: readonly ArrayBufferView[]): Uint8Array<ArrayBuffer> {
  return encodeFrameIn(fresh, header, ...payload);
}

/** As `encodeFrame`, in memory that the caller finds. */
export function encodeFrameIn(
  allocate: Allocate,
  header: Header,
  ...payload: readonly ArrayBufferView[]
): Uint8Array<ArrayBuffer> {
  const size = payload.reduce((sum, view) => sum + view.byteLength, 0);
  const { frame, headBytes } = writeHead(header, size, allocate);
  let at = headBytes;
  for (const view of payload) {
    frame.set(bytesOf(view), at);
    at += view.byteLength;
  }
  writeChecksum(frame);
  return frame;
}

/**
 * Takes a frame apart. Whatever the bytes are, the answer is a value.
 *
 * @returns the frame, or FRAME_TOO_LARGE, FRAME_MALFORMED or FRAME_CORRUPT with the reason
 */
export function decodeFrame(bytes: Uint8Array, limits: Limits, largest: number): Frame | Refusal {
  const malformed = (reason: string): Refusal => refusal('FRAME_MALFORMED', reason);
  if (bytes.length > largest) {
    return refusal(
      'FRAME_TOO_LARGE',
      `a frame of ${bytes.length} bytes; at most ${largest} are allowed here`,
    );
  }
  if (bytes.length < prefixBytes) return malformed(`a frame of ${bytes.length} bytes has no header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  if (length > limits.headerBytes) {
    return refusal(
      'FRAME_TOO_LARGE',
      `a header of ${length} bytes; at most ${limits.headerBytes} are allowed`,
    );
  }
  const start = prefixBytes + padded(length);
  if (start > bytes.length) return malformed(`a header of ${length} bytes in a frame of ${bytes.length}`);
  if (checksum(bytes.subarray(0, 4), bytes.subarray(prefixBytes)) !== view.getUint32(4, true)) {
    return refusal('FRAME_CORRUPT', 'the checksum is not that of the content: the frame changed on its way');
  }
  const end = prefixBytes + length;
  if (bytes.subarray(end, start).some((byte) => byte !== 0)) return malformed('the padding is not zero');
  // Copies are made with `new`: of a Node Buffer, which a socket gives, `slice` is a view.
  const packed = bytes.subarray(prefixBytes, end);
  const trouble = headerTrouble(packed, limits);
  if (trouble !== null) return malformed(trouble);
  const header = unpackHeader(packed);
  if (header === null) return malformed('the header cannot be decoded');
  const rest = bytes.subarray(start);
  return { ok: true, header, payload: rest.byteOffset % 8 === 0 ? rest : new Uint8Array(rest) };
}

function unpackHeader(packed: Uint8Array): Header | null {
  try {
    // A fresh copy: the decoder leaves a `dataView` property on what it is given.
    return unpacker.unpack(new Uint8Array(packed)) as Header;
  } catch {
    return null;
  }
}
