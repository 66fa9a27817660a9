/** May a machine compute for a run? Its fingerprint says whether its arithmetic gives the run's bits. */
import type { Recipe } from '../recipe.ts';
import type { NodeMessage } from './messages.ts';

export type Fingerprints = NodeMessage<'hello'>['fingerprints'];

export type NumericsDecision =
  | { readonly admit: true; readonly reason: string }
  | {
      readonly admit: false;
      readonly code: 'NUMERICS_DIFFER';
      readonly reason: string;
      readonly advice: string;
    };

/** Compares a node's fingerprint of the recipe's arithmetic with the coordinator's. */
export function decideNumerics(
  arithmetic: Recipe['arithmetic'],
  own: Fingerprints,
  theirs: Fingerprints,
): NumericsDecision {
  const [key, otherKey] = arithmetic === 'fma' ? (['fma', 'mulAdd'] as const) : (['mulAdd', 'fma'] as const);
  const [mine, its] = [own[key], theirs[key]];
  if (mine !== null && mine === its) {
    return { admit: true, reason: `its '${arithmetic}' arithmetic gives the run's bits` };
  }
  const reason =
    its === null
      ? `the node cannot compute '${arithmetic}' arithmetic`
      : mine === null
        ? `the coordinator cannot compute '${arithmetic}' arithmetic, so it cannot check the node's`
        : `the node's '${arithmetic}' arithmetic gives other bits (${its.slice(0, 12)} against ${mine.slice(0, 12)})`;
  const advice =
    own[otherKey] !== null && own[otherKey] === theirs[otherKey]
      ? `Start the run with arithmetic '${key === 'fma' ? 'mul-add' : 'fma'}', in which both machines agree.`
      : 'Use the same version of Lockstep and of Node on both machines.';
  return { admit: false, code: 'NUMERICS_DIFFER', reason, advice };
}
