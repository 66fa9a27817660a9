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

/** A listener that prints every event. */
export function jsonLines(output: Output): (event: JsonEvent) => void {
  return (event) => writeJsonLine(output, event);
}
