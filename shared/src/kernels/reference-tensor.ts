/** What references of activation kernels have in common: tensors by address, shape and halo. */
import { activationIndex, channelStride } from './kernel.ts';

/** A tensor `[N][H + 2*halo][W + 2*halo][channelStride(C)]` at byte offset `address`. */
export interface TensorPlace {
  readonly address: number;
  readonly halo: number;
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly C: number;
}

/** An element of a tensor; y and x may point into the halo. */
export type Element = (n: number, y: number, x: number, c: number) => number;

/** Reads elements of a tensor; an absent one (address 0) reads as 0 everywhere. */
export function reader(values: Float64Array, t: TensorPlace): Element {
  if (t.address === 0) return () => 0;
  const stride = channelStride(t.C);
  return (n, y, x, c) => values[t.address / 4 + activationIndex(n, y, x, t.H, t.W, stride, t.halo) + c];
}

/**
 * Writes a whole tensor, its halo and padding lanes as zeros. It is computed aside and stored at the
 * end, so it may overlap what `element` reads.
 */
export function writeTensor(values: Float64Array, t: TensorPlace, element: Element): void {
  const stride = channelStride(t.C);
  const made = new Float64Array(t.N * (t.H + 2 * t.halo) * (t.W + 2 * t.halo) * stride);
  eachElement(t, (n, y, x, c) => {
    made[activationIndex(n, y, x, t.H, t.W, stride, t.halo) + c] = element(n, y, x, c);
  });
  values.set(made, t.address / 4);
}

/** Visits every logical element in the order of memory. */
export function eachElement(
  shape: Readonly<{ N: number; H: number; W: number; C: number }>,
  visit: (n: number, y: number, x: number, c: number) => void,
): void {
  for (let n = 0; n < shape.N; n++) {
    for (let y = 0; y < shape.H; y++) {
      for (let x = 0; x < shape.W; x++) for (let c = 0; c < shape.C; c++) visit(n, y, x, c);
    }
  }
}

/** max(x, 0) when `on`; a NaN stays a NaN. */
export function rectified(x: number, on: number): number {
  return on && x < 0 ? 0 : x;
}

/** The gradient that reaches the input of an optional relu: (g + g2) where y > 0. Pointers of 0 are absent. */
export function maskedGradient(
  values: Float64Array,
  a: Readonly<{
    g: number;
    g2: number;
    y: number;
    yHalo: number;
    N: number;
    H: number;
    W: number;
    C: number;
  }>,
  relu: number,
): Element {
  const g = reader(values, { ...a, address: a.g, halo: 0 });
  const g2 = reader(values, { ...a, address: a.g2, halo: 0 });
  const y = reader(values, { ...a, address: a.y, halo: a.yHalo });
  return (n, h, w, c) => (relu && !(y(n, h, w, c) > 0) ? 0 : g(n, h, w, c) + g2(n, h, w, c));
}

/** Floats of an activation without halo, for byte counts. */
export function floatsOf(shape: Readonly<{ N: number; H: number; W: number; C: number }>): number {
  return shape.N * shape.H * shape.W * channelStride(shape.C);
}
