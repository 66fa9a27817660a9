/** The part of TensorFlow.js that its peer uses. The library is no dependency: the user may have it, or not. */

export interface Tensor {
  dispose(): void;
}

export interface Optimizer {
  minimize(loss: () => Tensor, returnCost: boolean): Tensor | null;
}

export interface Tfjs {
  readonly version: Readonly<Record<string, string>>;
  setBackend(name: string): Promise<boolean>;
  variable(initial: Tensor): Tensor;
  tensor4d(values: Float32Array, shape: readonly number[]): Tensor;
  randomNormal(shape: readonly number[], mean: number, deviation: number): Tensor;
  ones(shape: readonly number[]): Tensor;
  zeros(shape: readonly number[]): Tensor;
  oneHot(labels: Int32Array, classes: number): Tensor;
  conv2d(
    x: Tensor,
    weights: Tensor,
    stride: number,
    pad: number,
    format: 'NHWC',
    dilation: number,
    rounding: 'floor',
  ): Tensor;
  avgPool(x: Tensor, size: number, stride: number, pad: 'valid'): Tensor;
  moments(x: Tensor, axes: readonly number[]): { readonly mean: Tensor; readonly variance: Tensor };
  batchNorm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    offset: Tensor,
    scale: Tensor,
    epsilon: number,
  ): Tensor;
  relu(x: Tensor): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  pad(x: Tensor, paddings: readonly (readonly [number, number])[]): Tensor;
  mean(x: Tensor, axes?: readonly number[]): Tensor;
  matMul(a: Tensor, b: Tensor): Tensor;
  tidy<T>(work: () => T): T;
  readonly losses: { softmaxCrossEntropy(labels: Tensor, logits: Tensor): Tensor };
  readonly train: { adam(rate: number): Optimizer };
}
