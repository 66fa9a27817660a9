/** Update rules: which state a recipe's optimizer keeps, and the arguments of its kernel for one step. */
import { type Call, call } from '../kernels/table.ts';
import type { Recipe } from '../recipe.ts';

/** Names of the state vectors, each as long as a gradient: first and second moments, or velocity. */
export function stateNames(optimizer: Recipe['optimizer']): readonly string[] {
  return optimizer === 'sgd' ? ['velocity'] : ['first', 'second'];
}

/** Byte offsets of one slice of the flat vectors; state in the order of `stateNames`. */
export interface SlicePlaces {
  readonly weights: number;
  readonly gradient: number;
  readonly state: readonly number[];
  readonly weightsOut: number;
  readonly stateOut: readonly number[];
  /** Floats of the slice. */
  readonly n: number;
}

/**
 * The kernel call that updates one slice. Adam: Kingma & Ba 2015; adamw: Loshchilov & Hutter 2019; sgd with
 * (Nesterov) momentum as in PyTorch.
 *
 * @param update number of this update, from 1: bias corrections are 1 - beta^update
 * @param gradientScale 1 / samples of the step: sums become means here, once
 */
export function updateCall(
  recipe: Recipe,
  update: number,
  rate: number,
  gradientScale: number,
  places: SlicePlaces,
): Call {
  const { weights: w, gradient: g, weightsOut: wOut, n } = places;
  const { weightDecay } = recipe;
  const [m = 0, v = 0] = places.state;
  const [mOut = 0, vOut = 0] = places.stateOut;
  if (recipe.optimizer === 'sgd') {
    const { momentum } = recipe;
    const nesterov = Number(recipe.nesterov);
    return call('sgdUpdate', {
      w,
      g,
      m,
      wOut,
      mOut,
      n,
      gradientScale,
      lr: rate,
      momentum,
      nesterov,
      weightDecay,
    });
  }
  const { beta1, beta2, epsilon } = recipe;
  return call('adamUpdate', {
    w,
    g,
    m,
    v,
    wOut,
    mOut,
    vOut,
    n,
    gradientScale,
    lr: rate,
    beta1,
    beta2,
    epsilon,
    correction1: 1 - integerPower(beta1, update),
    correction2: 1 - integerPower(beta2, update),
    weightDecay,
    decoupled: Number(recipe.optimizer === 'adamw'),
  });
}

/** base^exponent by squaring: only multiplications, so every platform gives the same bits. */
export function integerPower(base: number, exponent: number): number {
  let result = 1;
  for (let square = base, rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}
