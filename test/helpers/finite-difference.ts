/** Checking gradients of references by central differences, in float64. */
import { type Calls, insideIndexes, referenceCalls, type TestTensor } from './kernel-check.ts';
import type { KernelHarness, TestBuffer } from './kernel-harness.ts';

const step = 1e-4;
const tolerance = 1e-7;
const mostElements = 64;

/** A vector of parameters, or a tensor of which only the logical elements count. */
type Variable = TestBuffer | TestTensor;

const bufferOf = (v: Variable): TestBuffer => ('halo' in v ? v.buffer : v);
const indexesOf = (v: Variable): number[] => ('halo' in v ? insideIndexes(v) : [...Array(v.length).keys()]);

/**
 * Compares `gradient` with the derivative of sum(weights * y) by the elements of `input`; both arrays hold
 * logical elements only. At most 64 elements are varied.
 *
 * @param calls references that compute y from the input
 * @param weights what a backward kernel gets as the gradient of y
 * @throws Error when a difference exceeds 1e-7 of the largest derivative
 */
export function checkGradient(
  harness: KernelHarness,
  calls: Calls,
  y: Variable,
  weights: readonly number[],
  input: Variable,
  gradient: ArrayLike<number>,
): void {
  const { data } = bufferOf(input);
  const outputs = indexesOf(y);
  const value = (): number => {
    const values = referenceCalls(harness, calls).read(bufferOf(y));
    return outputs.reduce((sum, at, k) => sum + (values[at] as number) * (weights[k] as number), 0);
  };
  const inputs = indexesOf(input);
  const every = Math.ceil(inputs.length / mostElements);
  const found: { derivative: number; difference: number; k: number }[] = [];
  for (let k = 0; k < inputs.length; k += every) {
    const i = inputs[k] as number;
    const before = data[i] as number;
    const at = (offset: number): number => {
      data[i] = before + offset * step;
      return value();
    };
    // Fourth order, so that rounding and truncation both stay near 1e-11.
    const derivative = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step);
    data[i] = before;
    found.push({ derivative, difference: derivative - (gradient[k] as number), k });
  }
  const largest = Math.max(1e-3, ...found.map((f) => Math.abs(f.derivative)));
  const wrong = found.find((f) => !(Math.abs(f.difference) <= tolerance * largest));
  if (wrong) {
    throw new Error(`gradient at ${wrong.k}: ${gradient[wrong.k]}, by differences ${wrong.derivative}`);
  }
}
