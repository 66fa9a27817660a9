/** How far a data set is on its way from the registry to the cache. */

import type { DataProgress, OnProgress } from '@lockstep/worker/data/progress.ts';
import { asBytes, asDuration } from './format.ts';
import { writeJsonLine } from './json-lines.ts';
import type { Output } from './output.ts';
import { type BarState, ProgressBar } from './progress-bar.ts';

/** Milliseconds between two lines where there is no bar. */
const lineInterval = 2000;

const verbs = {
  download: 'downloading',
  unpack: 'unpacking',
  convert: 'converting',
  verify: 'verifying',
} as const;

export interface DataDisplay {
  readonly onProgress: OnProgress;
  /** Takes the bar away. */
  readonly end: () => void;
}

/** Draws a bar for a person, lines for a log, JSON objects for a program. */
export function dataDisplay(
  name: string,
  output: Output,
  json: boolean,
  now: () => number = Date.now,
): DataDisplay {
  const bar = new ProgressBar(output);
  let phase = '';
  let phaseStart = 0;
  let lastLine = Number.NEGATIVE_INFINITY;
  const onProgress: OnProgress = (progress) => {
    const time = now();
    if (progress.phase !== phase) {
      phase = progress.phase;
      phaseStart = time;
      lastLine = Number.NEGATIVE_INFINITY;
    }
    const state = dataBar(name, progress, (time - phaseStart) / 1000);
    if (output.isTty && !json) return bar.show(state);
    if (time - lastLine < lineInterval) return;
    lastLine = time;
    if (json)
      writeJsonLine(output, { type: 'data-progress', dataset: name, ...progress } as { type: string });
    else output.write(`${state.label}  ${state.parts.map((part) => part.text).join('  ')}\n`);
  };
  return { onProgress, end: () => bar.clear() };
}

/** @param seconds since this phase began: gives the rate and the time left */
function dataBar(name: string, progress: DataProgress, seconds: number): BarState {
  const { doneBytes, totalBytes } = progress;
  const amount = totalBytes === null ? asBytes(doneBytes) : `${asBytes(doneBytes)} of ${asBytes(totalBytes)}`;
  const parts = [{ text: amount, rank: 0 }];
  const rate = seconds > 0.5 ? doneBytes / seconds : 0;
  if (rate > 0) {
    parts.push({ text: `${asBytes(rate)}/s`, rank: 1 });
    if (totalBytes !== null)
      parts.push({ text: `${asDuration((totalBytes - doneBytes) / rate)} left`, rank: 2 });
  }
  return {
    label: `${name}: ${verbs[progress.phase]}`,
    done: doneBytes,
    total: totalBytes ?? doneBytes * 2,
    parts,
  };
}
