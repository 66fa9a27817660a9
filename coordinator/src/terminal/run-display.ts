/** What a person sees of a run: a bar on a terminal, a line every few seconds in a log. */

import type { RunEvent, RunListener, StartEvent } from '../metrics/events.ts';
import { inThousands } from './format.ts';
import type { Output } from './output.ts';
import { ProgressBar } from './progress-bar.ts';
import { eventLine, headerLines, resultTable, resumeHint, stepBar, stepLine } from './run-text.ts';

/** Milliseconds between two lines of a log. */
const logInterval = 5000;

export interface RunDisplay {
  readonly listen: RunListener;
  /** Takes the bar away, also when the run fails in the middle. */
  readonly end: () => void;
}

/** Draws for people: the kind follows from where the output goes. */
export function runDisplay(output: Output, now: () => number = Date.now): RunDisplay {
  return output.isTty ? terminalDisplay(output) : { listen: logListener(output, now), end: () => undefined };
}

function terminalDisplay(output: Output): RunDisplay {
  const bar = new ProgressBar(output);
  let start: StartEvent | null = null;
  const listen: RunListener = (event) => {
    switch (event.type) {
      case 'start':
        start = event;
        printHeader(event, output);
        break;
      case 'step':
        if (start !== null) bar.show(stepBar(start, event));
        break;
      case 'evaluation-progress':
        bar.show({
          label: 'evaluating',
          done: event.done,
          total: event.total,
          parts: [{ text: `${inThousands(event.done)} of ${inThousands(event.total)} images`, rank: 0 }],
        });
        break;
      case 'checkpoint':
        // One every half minute: on a terminal the last one, in the closing table, is enough.
        break;
      case 'result':
        bar.clear();
        printResult(event, output);
        break;
      case 'evaluation':
        bar.clear();
        output.write(`${output.style('bold', eventLine(event) ?? '')}\n`);
        break;
      default:
        if (eventLine(event) !== null) bar.print(emphasised(event, output));
    }
  };
  return { listen, end: () => bar.clear() };
}

function logListener(output: Output, now: () => number): RunListener {
  let start: StartEvent | null = null;
  let lastLine = Number.NEGATIVE_INFINITY;
  return (event) => {
    if (event.type === 'start') {
      start = event;
      printHeader(event, output);
    } else if (event.type === 'step' && start !== null) {
      if (now() - lastLine < logInterval && event.step !== start.lastStep) return;
      lastLine = now();
      output.write(`${stepLine(start, event)}\n`);
    } else if (event.type === 'result') {
      printResult(event, output);
    } else {
      const line = eventLine(event);
      if (line !== null) output.write(`${line}\n`);
    }
  };
}

function emphasised(event: RunEvent, output: Output): string {
  const line = eventLine(event) ?? '';
  return event.type === 'rank-lost' || event.type === 'node-left' ? output.style('yellow', line) : line;
}

function printHeader(start: StartEvent, output: Output): void {
  const [first = '', ...rest] = headerLines(start);
  output.write(`${output.style('bold', first)}\n${rest.map((line) => `${line}\n`).join('')}`);
}

function printResult(event: Extract<RunEvent, { type: 'result' }>, output: Output): void {
  output.write(`${resultTable(event)}\n`);
  const hint = resumeHint(event);
  if (hint !== null) output.write(`${output.style('bold', hint)}\n`);
}
