import { isDeepStrictEqual } from 'node:util';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { canonicalJson } from '@lockstep/shared/base/canonical-json.ts';
import { parseRecipe, type RecipeInput, recipeFields, recipeSha256 } from '@lockstep/shared/recipe.ts';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';

/** The error a recipe is refused with. */
function refusal(t: ExecutionContext, recipe: unknown): LockstepError {
  const error = t.throws(() => parseRecipe(recipe), { instanceOf: LockstepError });
  t.is(error.exitCode, 2);
  return error;
}

test('an empty recipe is a complete one', (t) => {
  const recipe = parseRecipe({});
  t.deepEqual(Object.keys(recipe).toSorted(), recipeFields.map(({ name }) => name).toSorted());
  t.like(recipe, {
    model: 'resnet20',
    dataset: 'cifar10',
    batchSize: 128,
    shardsPerStep: 8,
    lr: 0.001,
    steps: null,
  });
});

test('the canonical hash of the defaults is fixed: a change of it renames every run', (t) => {
  t.is(recipeSha256(parseRecipe({})), '920d3a0c064d12db0ed59be8b5b4e01ce23418f80902735e2c6a3bc1385219e8');
});

test('augmentation and weight decay follow from data set and optimizer', (t) => {
  t.is(parseRecipe({ dataset: 'cifar100' }).augmentation, 'crop-flip');
  t.is(parseRecipe({ dataset: 'mnist' }).augmentation, 'none');
  t.is(parseRecipe({ dataset: 'mnist', augmentation: 'crop-flip' }).augmentation, 'crop-flip');
  t.is(parseRecipe({ augmentation: null }).augmentation, 'crop-flip');
  t.deepEqual(
    (['adam', 'adamw', 'sgd'] as const).map((optimizer) => parseRecipe({ optimizer }).weightDecay),
    [0, 0.01, 0.0001],
  );
  t.is(parseRecipe({ optimizer: 'sgd', weightDecay: 0 }).weightDecay, 0);
});

const badValues: [string, unknown[]][] = [
  ['lr', [Number.NaN, Number.POSITIVE_INFINITY, -0.1, 0, 1001, '0.1', null, true]],
  ['seed', [-1, 1.5, 2 ** 53, '1', null]],
  ['epochs', [0, -1, 1.5, 1e7]],
  ['steps', [0, -1, 0.5, '10']],
  ['batchSize', [0, 65_537, 1.5]],
  ['shardsPerStep', [0, 1025]],
  ['beta1', [1, -0.1, Number.NaN]],
  ['epsilon', [0, -1]],
  ['momentum', [1]],
  ['nesterov', ['yes', 1]],
  ['optimizer', ['Adam', '', null]],
  ['schedule', ['linear']],
  ['augmentation', ['flip']],
  ['batchNorm', ['Sync', 'none']],
  ['wireDtype', ['fp16', 16, null]],
  ['batchNormMomentum', [0, 1.1]],
  ['arithmetic', ['bf16']],
  ['convolution', ['fft', '']],
  ['model', ['', 3, {}]],
];

for (const [field, values] of badValues) {
  test(`${field}: what is not allowed is refused by field, value and limits`, (t) => {
    for (const value of values) {
      const error = refusal(t, { [field]: value });
      t.is(error.code, 'RECIPE_INVALID');
      t.is(error.values['field'], field);
      t.true(error.message.includes(`'${field}'`));
      t.truthy(error.values['allowed']);
    }
  });
}

test('what is no object is refused', (t) => {
  for (const value of [null, 3, 'x', [], undefined]) t.is(refusal(t, value).code, 'RECIPE_INVALID');
});

test('limits that span fields', (t) => {
  t.is(refusal(t, { batchSize: 7 }).code, 'BATCH_TOO_SMALL');
  t.notThrows(() => parseRecipe({ batchSize: 8 }));
  t.is(refusal(t, { nesterov: true }).values['field'], 'nesterov');
  t.is(refusal(t, { nesterov: true, optimizer: 'sgd', momentum: 0 }).values['field'], 'nesterov');
  t.notThrows(() => parseRecipe({ nesterov: true, optimizer: 'sgd' }));
});

test('an unknown key names the nearest known one', (t) => {
  const nearest: Record<string, string | null> = {
    batch_size: 'batchSize',
    'learning-rate': 'lr',
    shards: 'shardsPerStep',
    optimiser: 'optimizer',
    beta3: 'beta1',
    zzzzzzzz: null,
  };
  for (const [key, expected] of Object.entries(nearest)) {
    const error = refusal(t, { [key]: 1 });
    t.is(error.code, 'RECIPE_UNKNOWN_KEY');
    t.is(error.values['nearest'], expected, key);
  }
  t.is(refusal(t, JSON.parse('{"__proto__": {"lr": 3}}')).code, 'RECIPE_UNKNOWN_KEY');
});

/** Recipes as users write them: any subset of the fields, all allowed. */
const written: fc.Arbitrary<RecipeInput> = fc.record(
  {
    model: fc.constantFrom('resnet20', 'lenet5'),
    dataset: fc.constantFrom('cifar10', 'mnist', 'synthetic'),
    seed: fc.maxSafeNat(),
    epochs: fc.integer({ min: 1, max: 1_000_000 }),
    steps: fc.option(fc.integer({ min: 1, max: 1_000_000_000 })),
    batchSize: fc.integer({ min: 1024, max: 65_536 }),
    shardsPerStep: fc.integer({ min: 1, max: 1024 }),
    optimizer: fc.constantFrom('adam', 'adamw', 'sgd'),
    lr: fc.double({ min: 1e-300, max: 1000, noNaN: true }),
    beta1: fc.double({ min: 0, max: 0.999, noNaN: true }),
    weightDecay: fc.option(fc.double({ min: 0, max: 10, noNaN: true })),
    augmentation: fc.option(fc.constantFrom('none', 'crop-flip')),
    schedule: fc.constantFrom('constant', 'cosine', 'step'),
    arithmetic: fc.constantFrom('fma', 'mul-add'),
  },
  { requiredKeys: [] },
);

const parameters = { numRuns: 300, verbose: true };

test('a parsed recipe survives JSON and a second parse, with the same hash', (t) => {
  fc.assert(
    fc.property(written, (input) => {
      const recipe = parseRecipe({ batchSize: 1024, ...input });
      const again = parseRecipe(JSON.parse(JSON.stringify(recipe)));
      return isDeepStrictEqual(recipe, again) && recipeSha256(recipe) === recipeSha256(again);
    }),
    parameters,
  );
  t.pass();
});

test('the hash does not depend on the order of the keys, and on nothing else but the values', (t) => {
  fc.assert(
    fc.property(written, fc.maxSafeNat(), (input, seed) => {
      const recipe = parseRecipe({ batchSize: 1024, ...input });
      const turned = Object.fromEntries(Object.entries(recipe).toReversed()) as typeof recipe;
      const other = { ...recipe, seed };
      return (
        recipeSha256(recipe) === recipeSha256(turned) &&
        (recipeSha256(recipe) === recipeSha256(other)) === (seed === recipe.seed)
      );
    }),
    parameters,
  );
  t.pass();
});

test('whatever JSON comes, the answer is a recipe or an error with exit code 2', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom('lr', 'seed', 'x'), fc.jsonValue())),
      (input) => {
        try {
          return parseRecipe(input) !== null;
        } catch (thrown) {
          return thrown instanceof LockstepError && thrown.exitCode === 2 && thrown.message.length < 1200;
        }
      },
    ),
    parameters,
  );
  t.pass();
});

test('canonical JSON sorts at every depth and refuses what is no JSON', (t) => {
  t.is(canonicalJson({ b: [{ d: 1, c: 2 }], a: null }), '{"a":null,"b":[{"c":2,"d":1}]}');
  t.throws(() => canonicalJson({ a: Number.NaN }), { instanceOf: RangeError });
});

test('every field is one flag, and no flag is used twice', (t) => {
  const flags = recipeFields.flatMap(({ flag, aliases }) => [flag, ...aliases]);
  t.is(new Set(flags).size, flags.length);
  t.true(flags.includes('batch-size') && flags.includes('shards') && flags.includes('shards-per-step'));
});
