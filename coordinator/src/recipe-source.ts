/** Where a recipe comes from: flags beat the file, the file beats the defaults. */

import { readFile, stat } from 'node:fs/promises';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { type RecipeField, type RecipeInput, recipeFields } from '@lockstep/shared/recipe.ts';

/** A recipe file may not be larger than this many bytes: it is typed by a person. */
const fileLimit = 1 << 20;

/**
 * The fields that the user named, in the file or as flags; not yet checked and without defaults.
 *
 * @param file path of the recipe file, or null
 * @param flags what the command line gave, by field name, as text or boolean
 * @throws LockstepError RECIPE_UNREADABLE
 */
export async function gatherRecipe(
  file: string | null,
  flags: Readonly<Record<string, unknown>>,
): Promise<RecipeInput> {
  const fromFile = file === null ? {} : await readRecipeFile(file);
  // The parser checks all of it; the type only says that nobody has looked yet.
  return { ...fromFile, ...flagValues(flags) } as RecipeInput;
}

/** The values of the recipe's flags, numbers as numbers. What is no number stays text, for the parser to refuse. */
export function flagValues(flags: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const given = recipeFields.filter((field) => flags[field.name] !== undefined);
  return Object.fromEntries(given.map((field) => [field.name, flagValue(field, flags[field.name])]));
}

function flagValue(field: RecipeField, given: unknown): unknown {
  if (typeof given !== 'string') return given;
  if (field.nullMeaning !== null && given === 'null') return null;
  if (field.type !== 'integer' && field.type !== 'number') return given;
  // Decimal only: `0x10` and ` 5` are more likely slips than numbers.
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(given) ? Number(given) : given;
}

async function readRecipeFile(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > fileLimit) throw unreadable(path, `it has ${size} bytes, more than ${fileLimit}`);
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    if (thrown instanceof LockstepError) throw thrown;
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : String(thrown);
    const why = { ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'permission denied' }[
      code
    ];
    throw unreadable(path, why ?? code);
  }
  const recipe = parseJson(path, text.replace(/^\uFEFF/, ''));
  if (recipe === null || typeof recipe !== 'object' || Array.isArray(recipe)) {
    throw unreadable(path, 'it holds no JSON object');
  }
  return recipe as Record<string, unknown>;
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    const { line, column } = errorPlace(text, message);
    const what = message.replace(/ in JSON at position.*|, (\.\.\.)?".*is not valid JSON/s, '');
    throw unreadable(path, `line ${line}, column ${column}: ${what}`, { line, column });
  }
}

/** Line and column, from 1, of a JSON error. V8 names the position, except at the end and for a bad token. */
function errorPlace(text: string, message: string): { line: number; column: number } {
  const named = /position (\d+)/.exec(message)?.[1];
  const position = named === undefined ? badToken(text) : Number(named);
  const before = text.slice(0, position).split('\n');
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 };
}

/** Where a bad token stands: the length of the longest beginning of the text that does not yet hold it. */
function badToken(text: string): number {
  let good = 0;
  let bad = text.length + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (holdsBadToken(text.slice(0, middle))) bad = middle;
    else good = middle;
  }
  return good;
}

function holdsBadToken(text: string): boolean {
  try {
    JSON.parse(text);
    return false;
  } catch (thrown) {
    return thrown instanceof Error && thrown.message.startsWith('Unexpected token');
  }
}

function unreadable(path: string, why: string, place: Readonly<Record<string, number>> = {}): LockstepError {
  return new LockstepError(
    'RECIPE_UNREADABLE',
    `Cannot read the recipe ${path}: ${why}.`,
    'Give the path of a JSON file that holds the fields of a recipe.',
    { path, why, ...place },
  );
}
