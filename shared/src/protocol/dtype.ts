/**
 * Floats on the wire: float32, bfloat16 or IEEE half. Rounding is to nearest, ties to even, by integer
 * arithmetic on the bits, so it is the same on every machine.
 *
 * For the bits not to depend on the cluster, a run with a short `wireDtype` rounds at places of the tree and not
 * of the network: weights before any rank reads them, each shard's gradient, and each sum of two subtrees
 * (`roundFloats`). Then whatever partial sum travels is exact in the short type already.
 */
import type { WireDtype } from './messages.ts';

export const bytesPerFloat: Readonly<Record<WireDtype, 4 | 2>> = { f32: 4, bf16: 2, f16: 2 };

/** Bits of the bfloat16 nearest to a float32 given by its bits; NaN stays a quiet NaN. */
export function bfloatBits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff;
  // Half a unit, less one, plus the last bit kept: a tie goes up only when that makes it even.
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Bits of the half nearest to a float32 given by its bits; from 65520 on that is an infinity. */
export function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    // A normal half: the exponent's bias falls from 127 to 15, 13 bits of the fraction are rounded away.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  const shift = 126 - (magnitude >>> 23);
  if (shift > 24) return sign;
  // A subnormal half counts units of 2^-24; rounding up may make it the smallest normal one, which is right.
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const kept = fraction >>> shift;
  const dropped = fraction & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (dropped > tie || (dropped === tie && (kept & 1) === 1) ? kept + 1 : kept);
}

/** Bits of the float32 that a half stands for; exact. */
export function widenedHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal: fraction * 2^-24, normal as a float32. `top` is the place of its highest bit.
  const top = 31 - Math.clz32(fraction);
  return sign | ((top + 103) << 23) | ((fraction << (23 - top)) & 0x7fffff);
}

/** Narrow bits to float32 bits, one table for each narrow type; made when first used. */
const halfTable: { made: Uint32Array | null } = { made: null };

function widenedHalves(): Uint32Array {
  halfTable.made ??= Uint32Array.from({ length: 65_536 }, (_, half) => widenedHalf(half) >>> 0);
  return halfTable.made;
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

// One loop for each type, all values of it integers of one kind: then each compiles to a few instructions.

/** Returns how many come out NaN or infinite; so do the loops below. */
function narrowBfloats(from: Uint32Array, to: Uint16Array): number {
  let notFinite = 0;
  for (let i = 0; i < from.length; i++) {
    const narrow = bfloatBits(from[i] as number);
    if ((narrow & 0x7f80) === 0x7f80) notFinite++;
    to[i] = narrow;
  }
  return notFinite;
}

function narrowHalves(from: Uint32Array, to: Uint16Array): number {
  let notFinite = 0;
  for (let i = 0; i < from.length; i++) {
    const narrow = halfBits(from[i] as number);
    if ((narrow & 0x7c00) === 0x7c00) notFinite++;
    to[i] = narrow;
  }
  return notFinite;
}

function widenBfloats(from: Uint16Array, to: Uint32Array): number {
  let notFinite = 0;
  for (let i = 0; i < to.length; i++) {
    const narrow = from[i] as number;
    if ((narrow & 0x7f80) === 0x7f80) notFinite++;
    to[i] = narrow << 16;
  }
  return notFinite;
}

function widenHalves(from: Uint16Array, to: Uint32Array): number {
  const table = widenedHalves();
  let notFinite = 0;
  for (let i = 0; i < to.length; i++) {
    const narrow = from[i] as number;
    if ((narrow & 0x7c00) === 0x7c00) notFinite++;
    to[i] = table[narrow] as number;
  }
  return notFinite;
}

const narrowers = { bf16: narrowBfloats, f16: narrowHalves } as const;
const wideners = { bf16: widenBfloats, f16: widenHalves } as const;

export interface EncodedFloats {
  /** For f32 a view of the source, else new memory. */
  readonly bytes: Uint8Array;
  /** Values that are NaN or infinite as they would travel; overflow of the short type included. */
  readonly notFinite: number;
}

/** Floats as they travel. Whoever sends checks `notFinite` first: no NaN and no infinity goes out. */
export function encodeFloats(values: Float32Array, dtype: WireDtype): EncodedFloats {
  if (dtype === 'f32') {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return { bytes, notFinite: countNonFinite(values) };
  }
  const to = new Uint16Array(values.length);
  const notFinite = narrowers[dtype](bitsOf(values), to);
  return { bytes: new Uint8Array(to.buffer), notFinite };
}

/**
 * Widens what travelled into `target`, which has one float for each.
 *
 * @param bytes 4-aligned (f32) or 2-aligned, as frames give it
 * @returns how many of them are NaN or infinite
 */
export function decodeFloats(bytes: Uint8Array, dtype: WireDtype, target: Float32Array): number {
  if (bytes.byteLength !== target.length * bytesPerFloat[dtype]) {
    throw new RangeError(`${bytes.byteLength} bytes for ${target.length} floats of ${dtype}`);
  }
  const to = bitsOf(target);
  if (dtype !== 'f32') return wideners[dtype](new Uint16Array(bytes.buffer, bytes.byteOffset, to.length), to);
  to.set(new Uint32Array(bytes.buffer, bytes.byteOffset, to.length));
  return countNonFinite(target);
}

/** Rounds floats in place to what the type can hold. @returns how many are NaN or infinite afterwards */
export function roundFloats(values: Float32Array, dtype: WireDtype): number {
  if (dtype === 'f32') return countNonFinite(values);
  const bits = bitsOf(values);
  const narrow = new Uint16Array(Math.min(4096, bits.length));
  let notFinite = 0;
  for (let from = 0; from < bits.length; from += narrow.length) {
    const chunk = bits.subarray(from, from + narrow.length);
    narrowers[dtype](chunk, narrow);
    notFinite += wideners[dtype](narrow, chunk);
  }
  return notFinite;
}

/** How many values are NaN or infinite. */
export function countNonFinite(values: Float32Array): number {
  const bits = bitsOf(values);
  let count = 0;
  for (let i = 0; i < bits.length; i++) if (((bits[i] as number) & 0x7f800000) === 0x7f800000) count++;
  return count;
}
