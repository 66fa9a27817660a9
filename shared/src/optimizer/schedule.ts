/** Learning-rate schedules: pure functions of the recipe and the step. */
import type { Recipe } from '../recipe.ts';

/**
 * Cosine values of the schedule come from a Taylor polynomial, not from the platform's `Math.cos`, whose last
 * bits differ between engines. Error below 1e-12 on [0, pi].
 */
function cosine(x: number): number {
  // cos x = -cos(pi - x): keep the argument in [0, pi/2], where 12 terms are plenty.
  if (x > Math.PI / 2) return -cosine(Math.PI - x);
  let term = 1;
  let sum = 1;
  for (let k = 1; k <= 12; k++) {
    term *= (-x * x) / ((2 * k - 1) * (2 * k));
    sum += term;
  }
  return sum;
}

/**
 * The learning rate of a step.
 *
 * `constant`; `cosine` to zero over the run (Loshchilov & Hutter 2017, without restarts); `step`: a tenth after
 * half and a hundredth after three quarters of the run (He et al. 2015). Each after a linear warm-up.
 *
 * @param step steps already committed: the first step is 0
 * @param lastStep number of steps of the whole run
 */
export function learningRate(
  recipe: Pick<Recipe, 'lr' | 'schedule' | 'warmupSteps'>,
  step: number,
  lastStep: number,
): number {
  if (step < recipe.warmupSteps) return (recipe.lr * (step + 1)) / recipe.warmupSteps;
  const progress = Math.min(1, (step - recipe.warmupSteps) / Math.max(1, lastStep - recipe.warmupSteps));
  switch (recipe.schedule) {
    case 'constant':
      return recipe.lr;
    case 'cosine':
      return (recipe.lr * (1 + cosine(Math.PI * progress))) / 2;
    case 'step':
      return recipe.lr * (progress < 0.5 ? 1 : progress < 0.75 ? 0.1 : 0.01);
  }
}
