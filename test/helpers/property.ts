/** Property tests whose failure message holds the reason, besides fast-check's seed and counterexample. */
import fc from 'fast-check';

/** Asserts a property over `runs` random cases; ava prints no error causes, so the reason goes into the message. */
export function assertProperty<T>(property: fc.IRawProperty<T, boolean>, runs = 100): void {
  fc.assert(property, { numRuns: runs, includeErrorInReport: true });
}
