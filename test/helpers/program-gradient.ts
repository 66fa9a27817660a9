/** Central differences of a program's loss, in float64, away from the kinks of ReLUs and maxima. */
import type { Program } from '@lockstep/shared/model/program.ts';
import { noise } from './kernel-check.ts';
import { patternObserver, type ProgramInput, ReferenceProgram } from './reference-program.ts';

const step = 1e-5;
const tolerance = 1e-7;
/** Below it the rounding of the loss itself shows: a bias before a batch-norm has a gradient of exactly 0. */
const smallestScale = 1e-2;
/** Directions that are tried before a layer counts as one kink beside the other. */
const mostTries = 20;

interface Measured {
  readonly index: number;
  readonly derivative: number;
}

/**
 * Compares the gradients of a program with central differences for `samples` random elements of every parameter.
 * The error is relative to the derivative or to the root mean square of the parameter's gradient, whichever is larger.
 *
 * @throws Error naming the layer when one differs by more than 1e-7
 */
export function checkProgramGradients(
  program: Program,
  input: ProgramInput,
  samples: number,
  seed = 1,
): void {
  const reference = new ReferenceProgram(program);
  const { gradients } = reference.run(input);
  const weights = Float64Array.from(input.weights);
  const lossAt = (): { loss: number; pattern: string } => {
    const { observe, pattern } = patternObserver();
    const { lossSum } = reference.run({ ...input, weights }, observe, false);
    return { loss: lossSum, pattern: pattern() };
  };
  // Of the forward half alone: the backward half may compute outputs, and rectify, once more.
  const unmoved = lossAt().pattern;
  const measure = (index: number): Measured | null => {
    const before = weights[index] as number;
    weights[index] = before + step;
    const above = lossAt();
    weights[index] = before - step;
    const below = lossAt();
    weights[index] = before;
    if (above.pattern !== unmoved || below.pattern !== unmoved) return null;
    return { index, derivative: (above.loss - below.loss) / (2 * step) };
  };
  const random = noise(seed);
  for (const { layer, role, offset, size } of program.layout.parameters) {
    const own = gradients.subarray(offset, offset + size);
    const rms = Math.sqrt(own.reduce((sum, g) => sum + g * g, 0) / size);
    const found: Measured[] = [];
    for (let tries = 0; found.length < samples && tries < mostTries; tries++) {
      const measured = measure(offset + Math.floor(((random(offset + tries) + 1) / 2) * size));
      if (measured) found.push(measured);
    }
    if (found.length === 0) throw new Error(`${layer} ${role}: a kink in every direction`);
    for (const { index, derivative } of found) {
      const gradient = gradients[index] as number;
      const error = Math.abs(gradient - derivative) / Math.max(Math.abs(derivative), rms, smallestScale);
      if (!(error <= tolerance)) {
        const where = `${program.model.name}: ${layer} ${role} at ${index - offset}`;
        throw new Error(`${where}: gradient ${gradient}, by differences ${derivative} (error ${error})`);
      }
    }
  }
}
