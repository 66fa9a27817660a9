/** The operations of the comparison with oneDNN, and the ratios that issue 4 asks for. Pure. */

export const passes = ['forward', 'backward-data', 'backward-weights'] as const;
export type Pass = (typeof passes)[number];

/** A 3x3 convolution, stride 1, padding 1, as many channels in as out. */
export interface ConvolutionCase {
  readonly kind: 'convolution';
  readonly pass: Pass;
  readonly channels: number;
  /** Height and width. */
  readonly size: number;
  readonly images: number;
  /** Least ratio to oneDNN; null where none is asked for. */
  readonly target: number | null;
}

/** The product of two square matrices. */
export interface ProductCase {
  readonly kind: 'product';
  readonly size: number;
  readonly target: number;
}

export type OperationCase = ConvolutionCase | ProductCase;

/** Least share of the register-only rate that the matrix product reaches. */
export const productRegisterShare = 0.9;

const images = 32;

/** Channels, size, least ratio to oneDNN in each pass: the layers of ResNet-20 and ResNet-18. */
const layers: readonly (readonly [number, number, number | null])[] = [
  [16, 32, 1.4],
  [32, 16, 1.9],
  [64, 8, null],
  [64, 32, 1.9],
  [128, 16, 1.9],
  [256, 8, 1.9],
  [512, 4, 1.4],
];

export const operationCases: readonly OperationCase[] = [
  { kind: 'product', size: 512, target: 0.88 },
  ...layers.flatMap(([channels, size, target]) =>
    passes.map((pass) => ({ kind: 'convolution', pass, channels, size, images, target }) as const),
  ),
];

/** Floating point operations; of a convolution those of the direct algorithm, whatever computes it. */
export function operationFlops(entry: OperationCase): number {
  if (entry.kind === 'product') return 2 * entry.size ** 3;
  return 2 * entry.images * entry.size ** 2 * 9 * entry.channels ** 2;
}

/** `matrix product 512` or `64 ch 32x32, forward`. */
export function operationTitle(entry: OperationCase): string {
  if (entry.kind === 'product') return `matrix product, ${entry.size} x ${entry.size} x ${entry.size}`;
  return `${entry.channels} channels, ${entry.size}x${entry.size}, ${entry.pass}`;
}

/** The question to the oneDNN program, as `onednn/kernels.cpp` says. */
export function onednnRequest(entry: OperationCase, milliseconds: number): string {
  if (entry.kind === 'product') return `sgemm ${entry.size} ${entry.size} ${entry.size} ${milliseconds}`;
  const { pass, images: n, channels, size } = entry;
  return `convolution ${pass} ${n} ${channels} ${size} ${size} ${milliseconds}`;
}
