/** Kernels that move values without computing. */
import { channelStride, defineKernel } from './kernel.ts';
import { floatsOf, reader, writeTensor } from './reference-tensor.ts';

interface ShortcutShape {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly OC: number;
  readonly stride: number;
}

function shortcutShape(a: ShortcutShape): { N: number; H: number; W: number; C: number } {
  return { N: a.N, H: Math.ceil(a.H / a.stride), W: Math.ceil(a.W / a.stride), C: a.OC };
}

export const dataMovementKernels = {
  /** p[0 .. floats) = value (float32). */
  fill: defineKernel({
    parameters: ['p', 'floats', 'value'],
    group: 'data movement',
    flops: () => 0,
    bytes: (a) => 4 * a.floats,
    reference: ({ values }, a) => void values.fill(a.value, a.p / 4, a.p / 4 + a.floats),
  }),

  /** y `[N][channelStride(H*W*C)]`: the values in the order (h, w, c), padding only at the end. */
  flattenForward: defineKernel({
    parameters: ['x', 'xHalo', 'y', 'N', 'H', 'W', 'C'],
    group: 'data movement',
    flops: () => 0,
    bytes: (a) => 8 * floatsOf(a),
    reference: ({ values }, a) => {
      const x = reader(values, { ...a, address: a.x, halo: a.xHalo });
      const flat = { address: a.y, halo: 0, N: a.N, H: 1, W: 1, C: a.H * a.W * a.C };
      writeTensor(values, flat, (n, _h, _w, i) => {
        const pixel = Math.floor(i / a.C);
        return x(n, Math.floor(pixel / a.W), pixel % a.W, i % a.C);
      });
    },
  }),

  /** dx `[N][H][W][S]` from g `[N][channelStride(H*W*C)]`. */
  flattenBackward: defineKernel({
    parameters: ['g', 'dx', 'N', 'H', 'W', 'C'],
    group: 'data movement',
    flops: () => 0,
    bytes: (a) => 8 * floatsOf(a),
    reference: ({ values }, a) => {
      const g = reader(values, { address: a.g, halo: 0, N: a.N, H: 1, W: 1, C: a.H * a.W * a.C });
      writeTensor(values, { ...a, address: a.dx, halo: 0 }, (n, h, w, c) =>
        g(n, 0, 0, (h * a.W + w) * a.C + c),
      );
    },
  }),

  /**
   * The shortcut without parameters (He et al. 2016, option A): y `[N][ceil(H/stride)][ceil(W/stride)][S(OC)]`
   * is every stride-th pixel of x, with zeros in the channels from IC on. OC >= IC; y has no halo.
   */
  shortcutForward: defineKernel({
    parameters: ['x', 'xHalo', 'y', 'N', 'H', 'W', 'IC', 'OC', 'stride'],
    group: 'data movement',
    flops: () => 0,
    bytes: (a) => 4 * (floatsOf({ ...shortcutShape(a), C: a.IC }) + floatsOf(shortcutShape(a))),
    reference: ({ values }, a) => {
      const x = reader(values, { ...a, C: a.IC, address: a.x, halo: a.xHalo });
      writeTensor(values, { ...shortcutShape(a), address: a.y, halo: 0 }, (n, h, w, c) =>
        c < a.IC ? x(n, h * a.stride, w * a.stride, c) : 0,
      );
    },
  }),

  /** dx[n][h*stride][w*stride][c] += g[n][h][w][c] for c < IC: adds into an existing dx without halo. */
  shortcutBackward: defineKernel({
    parameters: ['g', 'dx', 'N', 'H', 'W', 'IC', 'OC', 'stride'],
    group: 'data movement',
    flops: (a) => floatsOf({ ...shortcutShape(a), C: a.IC }),
    bytes: (a) => 12 * floatsOf({ ...shortcutShape(a), C: a.IC }),
    reference: ({ values }, a) => {
      const g = reader(values, { ...shortcutShape(a), address: a.g, halo: 0 });
      const stride = channelStride(a.IC);
      const { N, H, W } = shortcutShape(a);
      for (let n = 0; n < N; n++) {
        for (let h = 0; h < H; h++) {
          for (let w = 0; w < W; w++) {
            const pixel = (n * a.H + h * a.stride) * a.W + w * a.stride;
            for (let c = 0; c < a.IC; c++) values[a.dx / 4 + pixel * stride + c] += g(n, h, w, c);
          }
        }
      }
    },
  }),
};
