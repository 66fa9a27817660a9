/** Rounding to the short float types of the wire, in the arena or the store. */
import { bfloatBits, halfBits, widenedHalf } from '../protocol/dtype.ts';
import type { WireDtype } from '../protocol/messages.ts';
import { defineKernel } from './kernel.ts';

/** How kernels know the types of floats on the wire. */
export const dtypeCodes: Readonly<Record<WireDtype, number>> = { f32: 0, bf16: 1, f16: 2 };

const word = new Float32Array(1);
const wordBits = new Uint32Array(word.buffer);

/** The 16 bits of a number rounded to float32 and then to a short type. */
function shortBits(x: number, dtype: number): number {
  word[0] = x;
  const bits = wordBits[0] as number;
  return dtype === dtypeCodes.bf16 ? bfloatBits(bits) : halfBits(bits);
}

/** A number as a type of the wire holds it; for float32 the number itself, as references are float64. */
export function roundedTo(x: number, dtype: number): number {
  if (dtype === dtypeCodes.f32) return x;
  return widenedTo(shortBits(x, dtype), dtype);
}

/** The number that 16 bits of a short type stand for. */
function widenedTo(bits: number, dtype: number): number {
  wordBits[0] = dtype === dtypeCodes.bf16 ? bits << 16 : widenedHalf(bits);
  return word[0] as number;
}

export const shortFloatKernels = {
  /** out = values rounded to the type, n float32; out may be values. */
  roundFloats: defineKernel({
    parameters: ['values', 'n', 'dtype', 'out'],
    group: 'reduction',
    flops: () => 0,
    bytes: (a) => 8 * a.n,
    reference: ({ values }, a) => {
      for (let i = 0; i < a.n; i++) values[a.out / 4 + i] = roundedTo(values[a.values / 4 + i], a.dtype);
    },
  }),

  /** out = n float32 rounded to a short type, as its 16 bits each: what travels. Not for float32. */
  narrowFloats: defineKernel({
    parameters: ['values', 'n', 'dtype', 'out'],
    group: 'reduction',
    flops: () => 0,
    bytes: (a) => 6 * a.n,
    reference: ({ values, bytes }, a) => {
      for (let i = 0; i < a.n; i++) {
        const bits = shortBits(values[a.values / 4 + i], a.dtype);
        bytes[a.out + 2 * i] = bits & 255;
        bytes[a.out + 2 * i + 1] = bits >>> 8;
      }
    },
  }),

  /** out = the float32 that n times 16 bits of a short type stand for. Not for float32. */
  widenFloats: defineKernel({
    parameters: ['bits', 'n', 'dtype', 'out'],
    group: 'reduction',
    flops: () => 0,
    bytes: (a) => 6 * a.n,
    reference: ({ values, bytes }, a) => {
      for (let i = 0; i < a.n; i++) {
        const bits = (bytes[a.bits + 2 * i] as number) | ((bytes[a.bits + 2 * i + 1] as number) << 8);
        values[a.out / 4 + i] = widenedTo(bits, a.dtype);
      }
    },
  }),
};
