/**
 * The recipe: everything that determines the result of a run. Two runs with the same recipe end with the
 * same bits; its hash is the run's name.
 */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from './base/canonical-json.ts';
import { LockstepError } from './base/errors.ts';
import { nearestKey } from './base/nearest-key.ts';
import { fieldSynonyms, type RecipeFieldName, recipeFieldNames, recipeRows } from './recipe-fields.ts';

export { type RecipeField, type RecipeFieldName, recipeFields } from './recipe-fields.ts';

/** The table's schemas under the table's names. */
type Shape = { [K in RecipeFieldName]: (typeof recipeRows)[K]['schema'] };

const shape = Object.fromEntries(
  recipeFieldNames.map((name) => [name, recipeRows[name].schema]),
) as unknown as Shape;

const recipeSchema = z.strictObject(shape);

/** As written: a `null` may still stand for a default that depends on another field. */
type WrittenRecipe = z.output<typeof recipeSchema>;

/** As a run uses it: complete, checked, every dependent default resolved. Only `steps` may be null. */
export type Recipe = Readonly<
  Omit<WrittenRecipe, 'weightDecay' | 'augmentation'> & {
    weightDecay: number;
    augmentation: 'none' | 'crop-flip';
  }
>;

/** A recipe as a user may write it: any subset of the fields. */
export type RecipeInput = Readonly<Partial<WrittenRecipe>>;

const decayOf = { adam: 0, adamw: 0.01, sgd: 0.0001 } as const;

/**
 * Checks a recipe from a file, a flag or a checkpoint and fills in the defaults.
 *
 * @throws LockstepError RECIPE_UNKNOWN_KEY, RECIPE_INVALID or BATCH_TOO_SMALL, naming field, value and what is allowed
 */
export function parseRecipe(input: unknown): Recipe {
  if (input === null || typeof input !== 'object' || Array.isArray(input)) {
    throw invalid(null, input, 'a JSON object with the fields of a recipe');
  }
  refuseUnknownKeys(Object.keys(input));
  const parsed = recipeSchema.safeParse(input);
  if (!parsed.success) {
    const field = parsed.error.issues[0]?.path[0] as RecipeFieldName;
    const value = (input as Record<string, unknown>)[field];
    throw invalid(field, value, recipeRows[field].allowed);
  }
  const written = parsed.data;
  refuseContradictions(written);
  return {
    ...written,
    weightDecay: written.weightDecay ?? decayOf[written.optimizer],
    augmentation: written.augmentation ?? (/^cifar/i.test(written.dataset) ? 'crop-flip' : 'none'),
  };
}

/** SHA-256 (hex) of the recipe's canonical JSON: the run's name. */
export function recipeSha256(recipe: Recipe): string {
  return createHash('sha256').update(canonicalJson(recipe)).digest('hex');
}

function refuseUnknownKeys(keys: readonly string[]): void {
  const unknown = keys.find((key) => !(recipeFieldNames as readonly string[]).includes(key));
  if (unknown === undefined) return;
  const synonyms = Object.keys(fieldSynonyms);
  const near = nearestKey(unknown, [...recipeFieldNames, ...synonyms]);
  const nearest = near === null ? null : (fieldSynonyms[near] ?? near);
  throw new LockstepError(
    'RECIPE_UNKNOWN_KEY',
    `A recipe has no field '${unknown.slice(0, 80)}'.`,
    nearest === null ? `Its fields are: ${recipeFieldNames.join(', ')}.` : `Did you mean '${nearest}'?`,
    { key: unknown, nearest },
  );
}

/** Limits that span more than one field. */
function refuseContradictions(recipe: WrittenRecipe): void {
  const { batchSize, shardsPerStep } = recipe;
  if (batchSize < shardsPerStep) {
    throw new LockstepError(
      'BATCH_TOO_SMALL',
      `A batch of ${batchSize} cannot fill ${shardsPerStep} shards: some would always be empty.`,
      `Take a batchSize of at least ${shardsPerStep}, or at most ${batchSize} shardsPerStep.`,
      { batchSize, shardsPerStep },
    );
  }
  if (recipe.nesterov && (recipe.optimizer !== 'sgd' || recipe.momentum === 0)) {
    throw invalid('nesterov', true, "false, unless optimizer is 'sgd' and momentum is above 0");
  }
}

function invalid(field: RecipeFieldName | null, value: unknown, allowed: string): LockstepError {
  const subject = field === null ? 'A recipe' : `Recipe field '${field}'`;
  return new LockstepError('RECIPE_INVALID', `${subject} is ${inWords(value)}.`, `Allowed: ${allowed}.`, {
    field,
    // JSON has no NaN and no Infinity: as a number they would show as null.
    value: typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
    allowed,
  });
}

/** A value as a message shows it: short, with its type visible. */
function inWords(value: unknown): string {
  if (typeof value === 'string')
    return `the text '${value.length > 60 ? `${value.slice(0, 60)}...` : value}'`;
  if (Array.isArray(value)) return 'a list';
  if (value !== null && typeof value === 'object') return 'an object';
  return String(value);
}
