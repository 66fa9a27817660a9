/** What threads that lead and help at random are given. */

export interface HelpWork {
  readonly words: SharedArrayBuffer;
  /** int32: for each seat, a number for each unit and one that all units of its run change in turn. */
  readonly numbers: SharedArrayBuffer;
  /** int32: what all threads have seen, also those that end early. */
  readonly totals: SharedArrayBuffer;
  readonly seats: number;
  readonly seat: number;
  readonly seed: number;
  readonly rounds: number;
  /** Chance that the thread ends, at each place where it may. */
  readonly mortality: number;
}

/** Runs that came to something else; that broke; that somebody has helped with. */
export const totalWords = { wrong: 0, broken: 1, shared: 2 } as const;

/** Units of run r. */
export const unitsOf = (run: number): number => 2 + (run % 5);
export const largestUnits = 6;
