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
  const nearest = closest(wanted, known.map(plain));
  // Two slips, or one in three letters of a long word; never so many that nothing of it is left.
  const tolerated = Math.min(Math.max(2, Math.floor(wanted.length / 3)), wanted.length - 1);
  const near =
    distance(wanted, nearest) <= tolerated ||
    (wanted.length >= 3 && (nearest.startsWith(wanted) || wanted.startsWith(nearest)));
  return near ? (known.find((word) => plain(word) === nearest) ?? null) : null;
}
