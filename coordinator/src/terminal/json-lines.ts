/** `--json`: one object a line, nothing else. */

import type { Output } from './output.ts';

/** Anything with a `type`: a run's events, a report, an error. */
export interface JsonEvent {
  readonly type: string;
}

/** Writes an event as one line. What is no JSON number (NaN, Infinity) becomes null. */
export function writeJsonLine(output: Output, event: JsonEvent): void {
  output.write(`${JSON.stringify(event)}\n`);
}

/** Prints every event of a run; has the same face as the display for people. */
export function jsonDisplay(output: Output): { listen: (event: JsonEvent) => void; end: () => void } {
  return { listen: (event) => writeJsonLine(output, event), end: () => undefined };
}
