/**
 * A frame: `u32 header length | u32 checksum | msgpack header | zero padding to a multiple of 8 | payload`, all
 * little-endian. Tensors are payload and never pass through msgpack. Without a large payload this form is the
 * same in all versions.
 *
 * The checksum is a CRC-32 of everything but itself; a payload of `largePayload` bytes or more goes into it by its GMAC
 * tag. TCP's own checksum ends at every proxy and misses one error in 65,536; a flipped bit in a gradient would become
 * part of the result, unnoticed, and one run would differ from another.
 */
import { createCipheriv } from 'node:crypto';
import { crc32 } from 'node:zlib';
// Not the main entry: that one loads a native string decoder, and strangers' bytes are no place for it.
import { Packr } from 'msgpackr/pack';
import { Unpackr } from 'msgpackr/unpack';
import { headerTrouble } from './header-scan.ts';
import type { Limits } from './limits.ts';
import { type Refusal, refusal } from './refusal.ts';

/** Bytes in front of the header. */
const prefixBytes = 8;

/**
 * Payload bytes from which on GMAC (NIST SP 800-38D) is cheaper than CRC-32: processors multiply for it, 19 GB/s against
 * 5, but each tag begins with 6 microseconds, and ten times that in caches that other code has been through.
 */
export const largePayload = 262_144;

/** Known to everybody: what is looked for are errors, not liars. */
const tagKey = Buffer.from('lockstep payload');
const tagNonce = Buffer.alloc(12);

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

/** 16 bytes that change when the payload does. */
function tagOf(payload: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-gcm', tagKey, tagNonce);
  cipher.setAAD(payload);
  cipher.final();
  return cipher.getAuthTag();
}

/** CRC-32 of the header length, of header and padding, and of the payload or its tag. @param start of the payload */
function checksum(frame: Uint8Array, start: number): number {
  const head = crc32(frame.subarray(prefixBytes, start), crc32(frame.subarray(0, 4)));
  const payload = frame.subarray(start);
  return crc32(payload.length < largePayload ? payload : tagOf(payload), head);
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
  return writeFrame(allocate, header, size, (target) => {
    let at = 0;
    for (const view of payload) {
      target.set(bytesOf(view), at);
      at += view.byteLength;
    }
  });
}

/** As `encodeFrameIn`, of a payload that somebody writes into it. @param write gets `size` bytes and fills them all */
export function writeFrame(
  allocate: Allocate,
  header: Header,
  size: number,
  write: (target: Uint8Array<ArrayBuffer>) => void,
): Uint8Array<ArrayBuffer> {
  const { frame, headBytes } = writeHead(header, size, allocate);
  write(frame.subarray(headBytes));
  new DataView(frame.buffer).setUint32(4, checksum(frame, headBytes), true);
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
  if (checksum(bytes, start) !== view.getUint32(4, true)) {
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
