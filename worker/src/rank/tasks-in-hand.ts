/** How many tasks ranks are given at a time. */

/** The one that a rank is at, and one in hand that it begins without asking: an answer and the next task take 0.6 ms. */
export const tasksPerRank = 2;

/**
 * Pure: may another task be given out? The last ones wait for whoever is free first, so that none lies in the hand of a
 * slow rank while another one is idle.
 *
 * @param waiting tasks that are still to be given @param given tasks that ranks have
 */
export function mayGive(waiting: number, given: number, ranks: number): boolean {
  return given < ranks || (waiting >= ranks && given < tasksPerRank * ranks);
}
