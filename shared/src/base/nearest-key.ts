/** The known word that a mistyped one most likely meant. */

import { closest, distance } from 'fastest-levenshtein';

/** Case and separators do not count: `batch_size` is `batchSize`. */
function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ .]/g, '');
}

/**
 * The known word nearest to `typed`, or null when nothing is near: a suggestion that shares nothing
 * with what was typed is worse than none.
 */
export function nearestKey(typed: string, known: readonly string[]): string | null {
  const wanted = plain(typed);
  if (known.length === 0 || wanted === '') return null;
  // A word that was cut short or written out is surer than one that merely has similar letters.
  const akin = known.filter((word) => isCut(wanted, plain(word)));
  if (akin.length > 0) return original(closest(wanted, akin.map(plain)), akin);
  const nearest = closest(wanted, known.map(plain));
  // Two slips, or one in three letters of a long word; never so many that nothing of it is left.
  const tolerated = Math.min(Math.max(2, Math.floor(wanted.length / 3)), wanted.length - 1);
  return distance(wanted, nearest) <= tolerated ? original(nearest, known) : null;
}

function isCut(a: string, b: string): boolean {
  const shorter = Math.min(a.length, b.length);
  return shorter >= 2 && a.length >= 3 && a.slice(0, shorter) === b.slice(0, shorter);
}

function original(nearest: string, known: readonly string[]): string | null {
  return known.find((word) => plain(word) === nearest) ?? null;
}
