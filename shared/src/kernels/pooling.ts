/**
 * Pooling. Windows may overlap the border by `pad` < K cells, which never count. Gradients and positions
 * have no halo.
 */
import { defineKernel } from './kernel.ts';
import { type Element, eachElement, floatsOf, reader, writeTensor } from './reference-tensor.ts';

/** Output height or width of a pooling or a convolution with floor rounding. */
export function pooledSize(size: number, K: number, stride: number, pad: number): number {
  return Math.floor((size + 2 * pad - K) / stride) + 1;
}

interface Window {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly C: number;
  readonly K: number;
  readonly stride: number;
  readonly pad: number;
}

function pooledShape(a: Window): { N: number; H: number; W: number; C: number } {
  return {
    N: a.N,
    H: pooledSize(a.H, a.K, a.stride, a.pad),
    W: pooledSize(a.W, a.K, a.stride, a.pad),
    C: a.C,
  };
}

/** The real cells of window (y, x), row by row. */
function cells(a: Window, y: number, x: number): { h: number; w: number }[] {
  const found: { h: number; w: number }[] = [];
  for (let h = y * a.stride - a.pad; h < y * a.stride - a.pad + a.K; h++) {
    for (let w = x * a.stride - a.pad; w < x * a.stride - a.pad + a.K; w++) {
      if (h >= 0 && h < a.H && w >= 0 && w < a.W) found.push({ h, w });
    }
  }
  return found;
}

/** Collects a gradient by adding into zeros, and writes it to dx. */
function scatter(
  values: Float64Array,
  a: Window & { dx: number },
  visit: (add: (n: number, h: number, w: number, c: number, value: number) => void) => void,
): void {
  const made = new Float64Array(a.N * a.H * a.W * a.C);
  const index: Element = (n, h, w, c) => ((n * a.H + h) * a.W + w) * a.C + c;
  visit((n, h, w, c, value) => void (made[index(n, h, w, c)] += value));
  writeTensor(values, { ...a, address: a.dx, halo: 0 }, (n, h, w, c) => made[index(n, h, w, c)]);
}

const cellCount = (a: Window): number => {
  const out = pooledShape(a);
  return out.N * out.H * out.W * a.C * a.K * a.K;
};

export const poolingKernels = {
  /** positions i32 `[N][OH][OW][S]` = h*W + w of the first maximum; a NaN wins over any number. */
  maxPoolForward: defineKernel({
    parameters: ['x', 'xHalo', 'y', 'yHalo', 'positions', 'N', 'H', 'W', 'C', 'K', 'stride', 'pad'],
    group: 'pooling',
    flops: cellCount,
    bytes: (a) => 4 * floatsOf(a) + 8 * floatsOf(pooledShape(a)),
    reference: ({ values }, a) => {
      const out = pooledShape(a);
      const x = reader(values, { ...a, address: a.x, halo: a.xHalo });
      const first = (n: number, y: number, ow: number, c: number) =>
        cells(a, y, ow).reduce((best, cell) => {
          const v = x(n, cell.h, cell.w, c);
          const top = x(n, best.h, best.w, c);
          return v > top || (Number.isNaN(v) && !Number.isNaN(top)) ? cell : best;
        });
      writeTensor(values, { ...out, address: a.positions, halo: 0 }, (n, y, ow, c) => {
        const { h, w } = first(n, y, ow, c);
        return h * a.W + w;
      });
      writeTensor(values, { ...out, address: a.y, halo: a.yHalo }, (n, y, ow, c) => {
        const { h, w } = first(n, y, ow, c);
        return x(n, h, w, c);
      });
    },
  }),

  /** dx `[N][H][W][S]`: each g goes to where its maximum was, everything else is 0. */
  maxPoolBackward: defineKernel({
    parameters: ['g', 'positions', 'dx', 'N', 'H', 'W', 'C', 'K', 'stride', 'pad'],
    group: 'pooling',
    flops: (a) => pooledShape(a).N * pooledShape(a).H * pooledShape(a).W * a.C,
    bytes: (a) => 4 * floatsOf(a) + 8 * floatsOf(pooledShape(a)),
    reference: ({ values }, a) => {
      const out = pooledShape(a);
      const g = reader(values, { ...out, address: a.g, halo: 0 });
      const positions = reader(values, { ...out, address: a.positions, halo: 0 });
      scatter(values, a, (add) => {
        eachElement(out, (n, y, x, c) => {
          const at = positions(n, y, x, c);
          add(n, Math.floor(at / a.W), at % a.W, c, g(n, y, x, c));
        });
      });
    },
  }),

  /** y = sum of a window's real cells, divided by how many they are. */
  averagePoolForward: defineKernel({
    parameters: ['x', 'xHalo', 'y', 'yHalo', 'N', 'H', 'W', 'C', 'K', 'stride', 'pad'],
    group: 'pooling',
    flops: cellCount,
    bytes: (a) => 4 * floatsOf(a) + 4 * floatsOf(pooledShape(a)),
    reference: ({ values }, a) => {
      const x = reader(values, { ...a, address: a.x, halo: a.xHalo });
      writeTensor(values, { ...pooledShape(a), address: a.y, halo: a.yHalo }, (n, y, ow, c) => {
        const real = cells(a, y, ow);
        return real.reduce((sum, { h, w }) => sum + x(n, h, w, c), 0) / real.length;
      });
    },
  }),

  /** dx `[N][H][W][S]`: each g is shared evenly among its window's real cells. */
  averagePoolBackward: defineKernel({
    parameters: ['g', 'dx', 'N', 'H', 'W', 'C', 'K', 'stride', 'pad'],
    group: 'pooling',
    flops: cellCount,
    bytes: (a) => 4 * floatsOf(a) + 4 * floatsOf(pooledShape(a)),
    reference: ({ values }, a) => {
      const out = pooledShape(a);
      const g = reader(values, { ...out, address: a.g, halo: 0 });
      scatter(values, a, (add) => {
        eachElement(out, (n, y, x, c) => {
          const real = cells(a, y, x);
          for (const { h, w } of real) add(n, h, w, c, g(n, y, x, c) / real.length);
        });
      });
    },
  }),

  /** y `[N][S]` = mean over all pixels. */
  globalAveragePoolForward: defineKernel({
    parameters: ['x', 'xHalo', 'y', 'N', 'H', 'W', 'C'],
    group: 'pooling',
    flops: (a) => a.N * a.H * a.W * a.C,
    bytes: (a) => 4 * floatsOf(a),
    reference: ({ values }, a) => {
      const x = reader(values, { ...a, address: a.x, halo: a.xHalo });
      writeTensor(values, { address: a.y, halo: 0, N: a.N, H: 1, W: 1, C: a.C }, (n, _y, _x, c) => {
        let sum = 0;
        for (let h = 0; h < a.H; h++) for (let w = 0; w < a.W; w++) sum += x(n, h, w, c);
        return sum / (a.H * a.W);
      });
    },
  }),

  /** dx = g/(H*W) at every pixel; g `[N][S]`. */
  globalAveragePoolBackward: defineKernel({
    parameters: ['g', 'dx', 'N', 'H', 'W', 'C'],
    group: 'pooling',
    flops: (a) => a.N * a.H * a.W * a.C,
    bytes: (a) => 4 * floatsOf(a),
    reference: ({ values }, a) => {
      const g = reader(values, { address: a.g, halo: 0, N: a.N, H: 1, W: 1, C: a.C });
      writeTensor(values, { ...a, address: a.dx, halo: 0 }, (n, _h, _w, c) => g(n, 0, 0, c) / (a.H * a.W));
    },
  }),
};
