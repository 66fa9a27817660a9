/**
 * The bits contract: the order in which the terms of one output are added, spelled out in JavaScript and compared
 * bit for bit. Only the mul-add builds can be spelled out (a float32 product and sum are each one Math.fround); the fma
 * builds run the same code.
 */
import { matmulScratchBytes } from '@lockstep/shared/kernels/matmul.ts';
import test from 'ava';
import fc from 'fast-check';
import {
  type ConvolutionCase,
  convolutionCases,
  interior,
  outputOf,
  setUpConvolution,
} from '../../helpers/convolution-case.ts';
import { KernelHarness } from '../../helpers/kernel-harness.ts';
import { assertProperty } from '../../helpers/property.ts';

const builds = ['mul-add-narrow', 'mul-add-wide'] as const;

/** One float32 accumulator, terms in the order of `add`. */
class Accumulator {
  value: number;

  constructor(start = 0) {
    this.value = start;
  }

  add(x: number | undefined, y: number | undefined): void {
    this.value = Math.fround(this.value + Math.fround((x as number) * (y as number)));
  }
}

/** @throws Error at the first element that is not the same number */
function same(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  if (actual.length !== expected.length) throw new Error(`${what}: ${actual.length} elements`);
  for (let i = 0; i < expected.length; i++) {
    if (!Object.is(actual[i], expected[i])) {
      throw new Error(`${what}: ${actual[i]} at ${i}, expected ${expected[i]}`);
    }
  }
}

/** Operands in logical, dense form, and the extent of the output. */
interface Operands {
  readonly c: ConvolutionCase;
  readonly OH: number;
  readonly OW: number;
  readonly x: Float64Array;
  readonly w: Float64Array;
  readonly dy: Float64Array;
}

const weightIndex = (c: ConvolutionCase, kh: number, kw: number, ic: number, oc: number): number =>
  ((kh * c.KW + kw) * c.IC + ic) * c.OC + oc;

/** Input pixel index (n, y, x), or -1 in the padding, where the kernels add zeros: no change of any bit. */
function inputPixel(c: ConvolutionCase, n: number, y: number, x: number): number {
  return y < 0 || y >= c.H || x < 0 || x >= c.W ? -1 : (n * c.H + y) * c.W + x;
}

/** y: kernel row, kernel column, input channel. */
function forward({ c, OH, OW, x, w }: Operands): Float32Array {
  return Float32Array.from({ length: c.N * OH * OW * c.OC }, (_, i) => {
    const oc = i % c.OC;
    const pixel = Math.floor(i / c.OC);
    const [n, oy, ox] = [Math.floor(pixel / (OH * OW)), Math.floor(pixel / OW) % OH, pixel % OW];
    const sum = new Accumulator();
    for (let kh = 0; kh < c.KH; kh++) {
      for (let kw = 0; kw < c.KW; kw++) {
        const from = inputPixel(c, n, oy * c.stride + kh - c.pad, ox * c.stride + kw - c.pad);
        if (from < 0) continue;
        for (let ic = 0; ic < c.IC; ic++) {
          sum.add(x[from * c.IC + ic], w[weightIndex(c, kh, kw, ic, oc)]);
        }
      }
    }
    return sum.value;
  });
}

/** dx: kernel row descending, kernel column descending, output channel. */
function backwardData({ c, OH, OW, w, dy }: Operands): Float32Array {
  return Float32Array.from({ length: c.N * c.H * c.W * c.IC }, (_, i) => {
    const ic = i % c.IC;
    const pixel = Math.floor(i / c.IC);
    const [n, y, x] = [Math.floor(pixel / (c.H * c.W)), Math.floor(pixel / c.W) % c.H, pixel % c.W];
    const sum = new Accumulator();
    for (let kh = c.KH - 1; kh >= 0; kh--) {
      for (let kw = c.KW - 1; kw >= 0; kw--) {
        const [oy, ox] = [(y + c.pad - kh) / c.stride, (x + c.pad - kw) / c.stride];
        if (!Number.isInteger(oy) || !Number.isInteger(ox)) continue;
        if (oy < 0 || oy >= OH || ox < 0 || ox >= OW) continue;
        const from = ((n * OH + oy) * OW + ox) * c.OC;
        for (let oc = 0; oc < c.OC; oc++) sum.add(dy[from + oc], w[weightIndex(c, kh, kw, ic, oc)]);
      }
    }
    return sum.value;
  });
}

/** dw: blocks of at most 256 output pixels (whole images, or rows of one), each in the order image, row, column. */
function backwardWeights({ c, OH, OW, x, dy }: Operands): Float32Array {
  const images = Math.max(1, Math.floor(256 / (OH * OW)));
  const rows = OH * OW <= 256 ? OH : Math.max(1, Math.floor(256 / OW));
  return Float32Array.from({ length: c.KH * c.KW * c.IC * c.OC }, (_, i) => {
    const oc = i % c.OC;
    const ic = Math.floor(i / c.OC) % c.IC;
    const place = Math.floor(i / (c.OC * c.IC));
    const [kh, kw] = [Math.floor(place / c.KW), place % c.KW];
    let total = 0;
    for (let first = 0; first < c.N; first += images) {
      for (let top = 0; top < OH; top += rows) {
        const sum = new Accumulator();
        for (let n = first; n < Math.min(c.N, first + images); n++) {
          for (let oy = top; oy < Math.min(OH, top + rows); oy++) {
            for (let ox = 0; ox < OW; ox++) {
              const from = inputPixel(c, n, oy * c.stride + kh - c.pad, ox * c.stride + kw - c.pad);
              if (from >= 0) sum.add(x[from * c.IC + ic], dy[((n * OH + oy) * OW + ox) * c.OC + oc]);
            }
          }
        }
        total = first + top === 0 ? sum.value : Math.fround(total + sum.value);
      }
    }
    return total;
  });
}

function checkConvolution(c: ConvolutionCase): void {
  const made = setUpConvolution(c);
  const [OH, OW] = outputOf(c);
  const xShape = [c.N, c.H, c.W, c.IC] as const;
  const yShape = [c.N, OH, OW, c.OC] as const;
  const { xHalo, yHalo, dyHalo } = made.halos;
  const x = interior(made.x.data, xShape, xHalo);
  const operands = { c, OH, OW, x, w: made.w.data, dy: interior(made.dy.data, yShape, dyHalo) };
  const [y, dx, dw] = [forward(operands), backwardData(operands), backwardWeights(operands)];
  for (const build of builds) {
    const { read } = made.harness.run(build, made.calls);
    same(interior(read(made.y), yShape, yHalo), y, `${build} y`);
    same(interior(read(made.dx), xShape, 0), dx, `${build} dx`);
    same(read(made.dw), dw, `${build} dw`);
  }
}

test('the three passes of a convolution add in the documented order', (t) => {
  assertProperty(fc.property(convolutionCases({ size: 9, channels: 20, kernel: 4 }), checkConvolution), 100);
  t.pass();
});

test('backward-weights adds its blocks in order', (t) => {
  const plain = { extra: [0, 1, 2], seed: 7 } as const;
  checkConvolution({ N: 3, H: 20, W: 30, IC: 3, OC: 5, KH: 3, KW: 3, stride: 1, pad: 1, ...plain });
  checkConvolution({ N: 9, H: 10, W: 8, IC: 2, OC: 3, KH: 1, KW: 2, stride: 1, pad: 0, ...plain });
  checkConvolution({ N: 2, H: 3, W: 270, IC: 1, OC: 2, KH: 2, KW: 2, stride: 1, pad: 1, ...plain });
  t.pass();
});

test('matmul forms one sum along K, from C or from zero, whatever the blocks', (t) => {
  const [M, N] = [7, 19];
  for (const K of [1, 255, 256, 257, 600]) {
    for (const accumulate of [0, 1]) {
      const harness = new KernelHarness();
      const A = harness.buffer('f32', M * K, (i) => Math.sin(i * 1.1));
      const B = harness.buffer('f32', K * N, (i) => Math.cos(i * 1.9));
      const C = harness.buffer('f32', M * N, (i) => Math.sin(i));
      const scratch = harness.buffer('f32', matmulScratchBytes(M, N, K) / 4);
      const expected = Float32Array.from({ length: M * N }, (_, at) => {
        const sum = new Accumulator(accumulate ? (C.data[at] as number) : 0);
        for (let k = 0; k < K; k++) sum.add(A.data[Math.floor(at / N) * K + k], B.data[k * N + (at % N)]);
        return sum.value;
      });
      const places = {
        A: A.offset,
        lda: K,
        B: B.offset,
        ldb: N,
        C: C.offset,
        ldc: N,
        scratch: scratch.offset,
      };
      const calls = [['matmul', { transA: 0, transB: 0, M, N, K, accumulate, ...places }]] as const;
      for (const build of builds) same(harness.run(build, calls).read(C), expected, `${build} K ${K}`);
    }
  }
  t.pass();
});
