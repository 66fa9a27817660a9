/** The float64 references themselves: against im2col, against each other, against finite differences. */
import test from 'ava';
import fc from 'fast-check';
import { compareArrays } from '../../helpers/comparison.ts';
import {
  type ConvolutionCase,
  convolutionCases,
  interior,
  outputOf,
  setUpConvolution,
} from '../../helpers/convolution-case.ts';
import { assertProperty } from '../../helpers/property.ts';

/** Logical operands and results of the references, in float64, without halos and padding lanes. */
function passes(c: ConvolutionCase) {
  const made = setUpConvolution(c);
  const [OH, OW] = outputOf(c);
  const { read } = made.harness.reference(made.calls);
  const xShape = [c.N, c.H, c.W, c.IC] as const;
  const yShape = [c.N, OH, OW, c.OC] as const;
  return {
    made,
    x: interior(made.x.data, xShape, made.halos.xHalo),
    w: made.w.data,
    dy: interior(made.dy.data, yShape, made.halos.dyHalo),
    y: interior(read(made.y), yShape, made.halos.yHalo),
    dx: interior(read(made.dx), xShape, 0),
    dw: read(made.dw),
  };
}

/** Index into x [N][H][W][IC] of each entry of the im2col matrix [N*OH*OW][KH*KW*IC]; -1 in the padding. */
function columnIndices(c: ConvolutionCase): Int32Array {
  const [OH, OW] = outputOf(c);
  const depth = c.KH * c.KW * c.IC;
  return Int32Array.from({ length: c.N * OH * OW * depth }, (_, i) => {
    const [row, column] = [Math.floor(i / depth), i % depth];
    const ic = column % c.IC;
    const kw = Math.floor(column / c.IC) % c.KW;
    const kh = Math.floor(column / (c.IC * c.KW));
    const y = (Math.floor(row / OW) % OH) * c.stride + kh - c.pad;
    const x = (row % OW) * c.stride + kw - c.pad;
    if (y < 0 || y >= c.H || x < 0 || x >= c.W) return -1;
    return ((Math.floor(row / (OH * OW)) * c.H + y) * c.W + x) * c.IC + ic;
  });
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
}

const small = convolutionCases({ N: 3, size: 7, channels: 5, kernel: 4 });

test('all three references agree with im2col over an explicitly padded image', (t) => {
  assertProperty(
    fc.property(small, (c) => {
      const found = passes(c);
      const indices = columnIndices(c);
      const depth = c.KH * c.KW * c.IC;
      const expected = {
        y: new Float64Array(found.y.length),
        dx: new Float64Array(found.dx.length),
        dw: new Float64Array(found.dw.length),
      };
      indices.forEach((from, i) => {
        if (from < 0) return;
        const [row, k] = [Math.floor(i / depth), i % depth];
        for (let oc = 0; oc < c.OC; oc++) {
          const [w, y] = [k * c.OC + oc, row * c.OC + oc];
          const gradient = found.dy[y] as number;
          expected.y[y] = (expected.y[y] as number) + (found.x[from] as number) * (found.w[w] as number);
          expected.dx[from] = (expected.dx[from] as number) + gradient * (found.w[w] as number);
          expected.dw[w] = (expected.dw[w] as number) + gradient * (found.x[from] as number);
        }
      });
      for (const name of ['y', 'dx', 'dw'] as const) {
        const result = compareArrays(found[name], expected[name], 1e-12, 1);
        if (!result.ok) throw new Error(`${name}: ${result.message}`);
      }
    }),
    200,
  );
  t.pass();
});

test('backward-data and backward-weights are the adjoints of forward', (t) => {
  assertProperty(
    fc.property(small, (c) => {
      const { x, w, dy, y, dx, dw } = passes(c);
      const expected = dot(dy, y);
      // Relative to the size of the terms: the inner products themselves may cancel.
      const scale = Math.sqrt(dot(dy, dy) * dot(y, y)) + 1e-300;
      for (const [name, value] of Object.entries({ dx: dot(dx, x), dw: dot(dw, w) })) {
        const error = Math.abs(value - expected) / scale;
        if (!(error < 1e-12)) throw new Error(`${name}: ${value}, expected ${expected}`);
      }
    }),
    200,
  );
  t.pass();
});

test('the references of both gradients agree with central finite differences', (t) => {
  assertProperty(
    fc.property(small, fc.nat(), (c, pick) => {
      const { made, dy, dw } = passes(c);
      const [OH, OW] = outputOf(c);
      const { read } = made.harness.reference(made.calls);
      const gradients = { dx: read(made.dx), dw };
      /** sum(dy * y): its derivatives are what the backward passes compute. */
      const loss = (): number => {
        const values = made.harness.reference(made.calls).read(made.y);
        return dot(dy, interior(values, [c.N, OH, OW, c.OC], made.halos.yHalo));
      };
      const derivative = (data: Float64Array, at: number): number => {
        const step = 2 ** -10;
        const kept = data[at] as number;
        data[at] = kept + step;
        const above = loss();
        data[at] = kept - step;
        const below = loss();
        data[at] = kept;
        return (above - below) / (2 * step);
      };
      // One weight and one input pixel, the latter found by its place in x with halo and in dx without.
      const weight = pick % made.w.length;
      const lanes = Math.ceil(c.IC / 4) * 4;
      const pixel = pick % (c.N * c.H * c.W);
      const [n, y, x] = [Math.floor(pixel / (c.H * c.W)), Math.floor(pixel / c.W) % c.H, pixel % c.W];
      const { xHalo } = made.halos;
      const padded = ((n * (c.H + 2 * xHalo) + y + xHalo) * (c.W + 2 * xHalo) + x + xHalo) * lanes;
      const channel = pick % c.IC;
      const pairs = [
        [derivative(made.w.data, weight), gradients.dw[weight]],
        [derivative(made.x.data, padded + channel), gradients.dx[pixel * lanes + channel]],
      ] as const;
      for (const [found, expected] of pairs) {
        const error = Math.abs(found - (expected as number)) / Math.max(1, Math.abs(expected as number));
        if (!(error < 1e-7)) throw new Error(`finite difference ${found}, gradient ${expected}`);
      }
    }),
    100,
  );
  t.pass();
});
