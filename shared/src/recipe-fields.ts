/**
 * The fields of a recipe, one row each: type, limits, default, description. The schema, the flags of the
 * command line, its help and the error messages are all read from this table.
 */

import { z } from 'zod';

export type RecipeFieldType = 'text' | 'integer' | 'number' | 'boolean' | 'choice';

/** One row, with its zod type so that the recipe's TypeScript type follows from the table. */
interface Row<T extends z.ZodType> {
  readonly schema: z.ZodDefault<T>;
  readonly type: RecipeFieldType;
  readonly description: string;
  /** What is allowed, in words: the end of the sentence "allowed: ...". */
  readonly allowed: string;
  readonly choices: readonly string[];
  /** What `null` stands for, where it is a value (and the default); otherwise null. */
  readonly nullMeaning: string | null;
  /** Flag on the command line, when it is not the name in kebab-case. */
  readonly flag?: string;
}

interface Limits {
  readonly min: number;
  readonly max: number;
  /** True when `min` itself is not allowed. */
  readonly above?: boolean;
}

function integer(fallback: number, { min, max }: Limits, description: string): Row<z.ZodType<number>> {
  const schema = z.int().min(min).max(max).default(fallback) as z.ZodDefault<z.ZodType<number>>;
  const allowed = `an integer from ${min} to ${max}`;
  return { schema, type: 'integer', description, allowed, choices: [], nullMeaning: null };
}

function number(fallback: number, limits: Limits, description: string): Row<z.ZodType<number>> {
  return {
    schema: numberSchema(limits).default(fallback),
    type: 'number',
    description,
    allowed: numberWords(limits),
    choices: [],
    nullMeaning: null,
  };
}

function numberSchema({ min, max, above }: Limits): z.ZodType<number> {
  return (above ? z.number().gt(min) : z.number().min(min)).max(max);
}

function numberWords({ min, max, above }: Limits): string {
  return above ? `a number above ${min}, at most ${max}` : `a number from ${min} to ${max}`;
}

function choice<const C extends string>(fallback: NoInfer<C>, choices: readonly C[], description: string) {
  const schema = z.enum(choices).default(fallback as never) as unknown as z.ZodDefault<z.ZodType<C>>;
  const allowed = choices.length === 1 ? `'${choices[0]}' only` : choices.map((c) => `'${c}'`).join(', ');
  return { schema, type: 'choice', description, allowed, choices, nullMeaning: null } satisfies Row<
    z.ZodType<C>
  >;
}

function boolean(fallback: boolean, description: string): Row<z.ZodType<boolean>> {
  const schema = z.boolean().default(fallback) as z.ZodDefault<z.ZodType<boolean>>;
  return { schema, type: 'boolean', description, allowed: 'true or false', choices: [], nullMeaning: null };
}

function name(fallback: string, description: string): Row<z.ZodType<string>> {
  const schema = z.string().min(1).max(1024).default(fallback) as z.ZodDefault<z.ZodType<string>>;
  const allowed = 'a name of 1 to 1024 characters';
  return { schema, type: 'text', description, allowed, choices: [], nullMeaning: null };
}

/** The same row with `null` allowed and the default; `meaning` says what null stands for. */
function orNull<T>(
  row: { readonly schema: z.ZodDefault<z.ZodType<T>> } & Row<z.ZodType<T>>,
  meaning: string,
) {
  const schema = row.schema.unwrap().nullable().default(null) as unknown as z.ZodDefault<z.ZodType<T | null>>;
  const allowed = `${row.allowed}, or null (${meaning})`;
  return { ...row, schema, allowed, nullMeaning: meaning } satisfies Row<z.ZodType<T | null>>;
}

const fraction = { min: 0, max: 0.999999999 };
const stepCount = { min: 1, max: 1_000_000_000 };

export const recipeRows = {
  model: name('resnet20', 'model of the zoo'),
  dataset: name('cifar10', 'data set to train on'),
  seed: integer(1, { min: 0, max: Number.MAX_SAFE_INTEGER }, 'seed of every random number'),
  epochs: integer(1, { min: 1, max: 1_000_000 }, 'passes over the training set'),
  steps: orNull(integer(1, stepCount, 'end after this many steps, whatever the epochs say'), 'epochs decide'),
  batchSize: integer(128, { min: 1, max: 65_536 }, 'samples in a step, over all shards'),
  shardsPerStep: {
    ...integer(
      8,
      { min: 1, max: 1024 },
      'shards a step is cut into; fixes the bits, not the number of threads',
    ),
    flag: 'shards',
  },
  optimizer: choice('adam', ['adam', 'adamw', 'sgd'], 'update rule'),
  lr: number(0.001, { min: 0, max: 1000, above: true }, 'learning rate at its peak'),
  beta1: number(0.9, fraction, 'Adam: decay of the first moment'),
  beta2: number(0.999, fraction, 'Adam: decay of the second moment'),
  epsilon: number(1e-8, { min: 0, max: 1, above: true }, 'Adam: added to the denominator'),
  momentum: number(0.9, fraction, 'SGD: momentum'),
  nesterov: boolean(false, 'SGD: Nesterov momentum'),
  weightDecay: orNull(number(0, { min: 0, max: 10 }, 'weight decay'), 'adam 0, adamw 0.01, sgd 0.0001'),
  schedule: choice('constant', ['constant', 'cosine', 'step'], 'course of the learning rate'),
  warmupSteps: integer(0, { min: 0, max: 1_000_000 }, 'steps in which the learning rate rises linearly'),
  augmentation: orNull(
    choice('none', ['none', 'crop-flip'], 'random changes of the training images'),
    'crop-flip for CIFAR, none otherwise',
  ),
  shortcut: choice('A', ['A', 'B'], 'ResNet: shortcut where the size changes (A pads, B projects)'),
  batchNorm: choice(
    'shard',
    ['shard', 'sync'],
    "whose moments normalise the activations: each shard's own, or those of the whole batch",
  ),
  batchNormMomentum: number(
    0.1,
    { min: 0, max: 1, above: true },
    'share of a new batch in the running statistics',
  ),
  batchNormEpsilon: number(1e-5, { min: 0, max: 1, above: true }, 'added to the variance'),
  arithmetic: choice('fma', ['fma', 'mul-add'], 'multiply and add in one rounding, or in two'),
  wireDtype: choice(
    'f32',
    ['f32', 'bf16', 'f16'],
    'floats of weights and gradients on the wire; a short type rounds them, wherever they are computed',
  ),
  convolution: choice(
    'winograd',
    ['winograd', 'direct'],
    'algorithm of 3x3 convolutions of stride 1 and 2, where a layer has enough channels',
  ),
};

type Rows = typeof recipeRows;

export type RecipeFieldName = keyof Rows;

export const recipeFieldNames = Object.keys(recipeRows) as RecipeFieldName[];

/** What other trainers call a field; only for suggestions, never accepted. */
export const fieldSynonyms: Readonly<Record<string, RecipeFieldName>> = {
  learningRate: 'lr',
  data: 'dataset',
  eps: 'epsilon',
  wd: 'weightDecay',
  maxSteps: 'steps',
  augment: 'augmentation',
};

/** One field as the command line sees it. */
export interface RecipeField {
  readonly name: RecipeFieldName;
  /** Without dashes: `batch-size`. */
  readonly flag: string;
  /** Other spellings of the flag. */
  readonly aliases: readonly string[];
  readonly description: string;
  readonly type: RecipeFieldType;
  readonly allowed: string;
  readonly choices: readonly string[];
  /** What `null` stands for, where it is a value; otherwise null. */
  readonly nullMeaning: string | null;
  /** The value of a recipe that does not name the field. */
  readonly fallback: unknown;
}

export const recipeFields: readonly RecipeField[] = recipeFieldNames.map((fieldName) => {
  const row: Row<z.ZodType> = recipeRows[fieldName];
  const kebab = fieldName.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return {
    name: fieldName,
    flag: row.flag ?? kebab,
    aliases: row.flag === undefined || row.flag === kebab ? [] : [kebab],
    description: row.description,
    type: row.type,
    allowed: row.allowed,
    choices: row.choices,
    nullMeaning: row.nullMeaning,
    fallback: row.schema.parse(undefined),
  };
});
