import {
  bfloatBits,
  bytesPerFloat,
  countNonFinite,
  decodeFloats,
  encodeFloats,
  halfBits,
  roundFloats,
  widenedHalf,
} from '@lockstep/shared/protocol/dtype.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const wide = new Float32Array(1);
const wideBits = new Uint32Array(wide.buffer);

function floatOf(bits: number): number {
  wideBits[0] = bits;
  return wide[0] as number;
}

function bitsOf(value: number): number {
  wide[0] = value;
  return wideBits[0] as number;
}

/** The value of a narrow number by its definition, in float64. */
function valueOf(narrow: number, exponentBits: number, fractionBits: number): number {
  const sign = narrow >>> (exponentBits + fractionBits) ? -1 : 1;
  const exponent = (narrow >>> fractionBits) & (2 ** exponentBits - 1);
  const fraction = narrow & (2 ** fractionBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1)
    return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias - fractionBits);
  return sign * (1 + fraction / 2 ** fractionBits) * 2 ** (exponent - bias);
}

const types = [
  {
    dtype: 'bf16',
    exponentBits: 8,
    fractionBits: 7,
    narrow: bfloatBits,
    widen: (b: number) => (b << 16) >>> 0,
  },
  {
    dtype: 'f16',
    exponentBits: 5,
    fractionBits: 10,
    narrow: halfBits,
    widen: (b: number) => widenedHalf(b) >>> 0,
  },
] as const;

/**
 * The nearest narrow number by search: magnitudes grow with the bits, so neighbours are bits +-1. What would come
 * behind the largest finite number stands in for infinity, as IEEE 754 rounds.
 */
function nearest(value: number, exponentBits: number, fractionBits: number): number {
  const magnitude = Math.abs(value);
  const infinity = (2 ** exponentBits - 1) * 2 ** fractionBits;
  const of = (bits: number): number =>
    bits === infinity ? 2 ** (2 ** (exponentBits - 1)) : valueOf(bits, exponentBits, fractionBits);
  let low = 0;
  let high = infinity;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (of(middle) <= magnitude) low = middle;
    else high = middle;
  }
  if (magnitude >= of(infinity)) low = infinity;
  const below = magnitude - of(low);
  const above = low === infinity ? Number.POSITIVE_INFINITY : of(low + 1) - magnitude;
  const rounded = above < below || (above === below && low % 2 === 1) ? low + 1 : low;
  return rounded + (value < 0 || Object.is(value, -0) ? 2 ** (exponentBits + fractionBits) : 0);
}

for (const { dtype, exponentBits, fractionBits, narrow, widen } of types) {
  test(`${dtype}: all 65536 numbers widen to what they stand for and come back`, (t) => {
    let wrong = 0;
    for (let bits = 0; bits < 65_536; bits++) {
      const value = valueOf(bits, exponentBits, fractionBits);
      const widened = floatOf(widen(bits));
      if (!Object.is(widened, value)) wrong++;
      const back = narrow(widen(bits));
      if (Number.isNaN(value) ? !Number.isNaN(valueOf(back, exponentBits, fractionBits)) : back !== bits)
        wrong++;
    }
    t.is(wrong, 0);
  });

  test(`${dtype}: between any two neighbours, below, at and above the middle round to nearest even`, (t) => {
    const infinity = (2 ** exponentBits - 1) * 2 ** fractionBits;
    let wrong = 0;
    for (let bits = 0; bits < infinity - 1; bits++) {
      const middle =
        (valueOf(bits, exponentBits, fractionBits) + valueOf(bits + 1, exponentBits, fractionBits)) / 2;
      // The middle is exact as a float32, except under bfloat's subnormals, where float32 has no finer numbers.
      const at = bitsOf(middle);
      for (const candidate of [at - 1, at, at + 1]) {
        if (candidate < 0) continue;
        if (narrow(candidate) !== nearest(floatOf(candidate), exponentBits, fractionBits)) wrong++;
      }
    }
    t.is(wrong, 0);
  });

  test(`${dtype}: any float32 rounds as the definition says`, (t) => {
    assertProperty(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), (bits) => {
        const value = floatOf(bits);
        if (Number.isNaN(value)) return Number.isNaN(valueOf(narrow(bits), exponentBits, fractionBits));
        return narrow(bits) === nearest(value, exponentBits, fractionBits);
      }),
      20_000,
    );
    t.pass();
  });

  test(`${dtype}: rounding once is rounding for good, and is what a trip over the wire gives`, (t) => {
    assertProperty(
      fc.property(fc.array(fc.integer({ min: 0, max: 0xffffffff }), { maxLength: 50 }), (list) => {
        const values = new Float32Array(Uint32Array.from(list).buffer);
        const { bytes, notFinite } = encodeFloats(values, dtype);
        const back = new Float32Array(values.length);
        const arrived = decodeFloats(bytes, dtype, back);
        const rounded = Float32Array.from(values);
        const inPlace = roundFloats(rounded, dtype);
        const again = Float32Array.from(rounded);
        roundFloats(again, dtype);
        const same = (a: Float32Array, b: Float32Array): boolean =>
          a.every((value, i) => Object.is(value, b[i] as number));
        return (
          bytes.length === values.length * bytesPerFloat[dtype] &&
          notFinite === arrived &&
          notFinite === inPlace &&
          notFinite === countNonFinite(back) &&
          same(back, rounded) &&
          same(rounded, again)
        );
      }),
      500,
    );
    t.pass();
  });
}

test('halves agree with the runtime, where it has them', (t) => {
  const Half = (globalThis as { Float16Array?: new (values: Float32Array) => ArrayBufferView }).Float16Array;
  if (Half === undefined) {
    t.pass('this Node has no Float16Array');
    return;
  }
  assertProperty(
    fc.property(fc.float({ noNaN: true }), (value) => {
      const made = new Half(Float32Array.of(value));
      return new Uint16Array(made.buffer)[0] === halfBits(bitsOf(value));
    }),
    10_000,
  );
  t.pass();
});

test('what overflows a half is counted as not finite, and a large finite half is not', (t) => {
  t.is(encodeFloats(Float32Array.of(65_519.99, -65_504, 1e-9), 'f16').notFinite, 0);
  t.is(encodeFloats(Float32Array.of(65_520, -1e30, 1), 'f16').notFinite, 2);
  t.is(encodeFloats(Float32Array.of(3.39e38, -3.4e38), 'bf16').notFinite, 1);
});

test('float32 travels as it is', (t) => {
  const values = Float32Array.of(1.1, -0, 1e-45, 3.4e38);
  const back = new Float32Array(4);
  const { bytes, notFinite } = encodeFloats(values, 'f32');
  t.is(notFinite, 0);
  t.is(bytes.buffer, values.buffer);
  t.is(decodeFloats(bytes, 'f32', back), 0);
  t.deepEqual(back, values);
  t.throws(() => decodeFloats(bytes, 'f32', new Float32Array(3)), { instanceOf: RangeError });
});

test('long vectors round in place as they travel', (t) => {
  for (const dtype of ['bf16', 'f16'] as const) {
    const values = Float32Array.from({ length: 9001 }, (_, i) => Math.sin(i) * 1.001 ** i);
    const back = new Float32Array(values.length);
    const notFinite = decodeFloats(encodeFloats(values, dtype).bytes, dtype, back);
    t.is(roundFloats(values, dtype), notFinite);
    t.deepEqual(values, back);
  }
});

test('what is not finite is NaN or infinite, wherever it stands', (t) => {
  const values = new Float32Array(1000).fill(3.4e38);
  t.is(countNonFinite(values), 0);
  t.is(countNonFinite(new Float32Array(0)), 0);
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    for (const at of [0, 500, 999]) t.is(countNonFinite(values.with(at, bad)), 1);
  }
});
