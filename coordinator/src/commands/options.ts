/** Flags that several commands share, and how their values are checked. */

import { type RecipeField, recipeFields } from '@lockstep/shared/recipe.ts';
import { type Command, InvalidArgumentError, Option } from 'commander';

/** Values of flags by commander's names: unchecked. */
export type FlagValues = Readonly<Record<string, unknown>>;

/** Adds `--json`. */
export function addJsonFlag(command: Command): Command {
  return command.option('--json', 'one JSON object a line on standard output, and nothing else');
}

/** A parser for a flag that takes an integer from `min` to `max`. */
export function integerFrom(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Allowed: an integer from ${min} to ${max}.`);
  };
}

/** A parser for a flag that takes a number of seconds above 0, at most a week. */
export function secondsFrom(text: string): number {
  const value = /^\d{1,7}(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0 && value <= 604_800) return value;
  throw new InvalidArgumentError('Allowed: a number of seconds above 0, at most 604800.');
}

/** Threads of a run: as many as the machine has cores, unless the user says. */
export const threadLimit = 256;

const heading = 'Recipe (flags beat the file, the file beats the defaults):';

/** Makes every field of the recipe a flag. The values are checked later, by the recipe's own parser. */
export function addRecipeFlags(command: Command): Command {
  for (const field of recipeFields) {
    const value = field.type === 'boolean' ? '' : ' <value>';
    command.addOption(new Option(`--${field.flag}${value}`, helpText(field)).helpGroup(heading));
    if (field.type === 'boolean') {
      command.addOption(new Option(`--no-${field.flag}`).hideHelp());
    }
    for (const alias of field.aliases) {
      command.addOption(new Option(`--${alias}${value}`).hideHelp());
    }
  }
  return command;
}

function helpText(field: RecipeField): string {
  const choices = field.type === 'choice' ? `: ${field.choices.join(', ')}` : '';
  const fallback = ` (default ${field.nullMeaning ?? String(field.fallback)})`;
  return `${field.description}${choices}${fallback}`;
}

/** The recipe's flags among a command's values, by the recipe's names. */
export function recipeFlags(values: FlagValues): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const field of recipeFields) {
    for (const flag of [...field.aliases, field.flag]) {
      const value = values[camelCase(flag)];
      if (value !== undefined) given[field.name] = value;
    }
  }
  return given;
}

/** Commander's name for a flag: `batch-size` is `batchSize`. */
function camelCase(flag: string): string {
  return flag.replaceAll(/-([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}
