/** The sentences and tables of a run. Pure: events in, text out. */

import Table from 'cli-table3';
import type { ResultEvent, RunEvent, StartEvent, StepEvent } from '../metrics/events.ts';
import type { BarState } from './progress-bar.ts';
import { asBytes, asDuration, asLoss, asRate, inPercent, inThousands } from './format.ts';

/** What is about to be computed, and on what. */
export function headerLines(start: StartEvent): string[] {
  const threads = start.threads === 1 ? '1 thread' : `${start.threads} threads`;
  const from = start.fromStep + 1;
  const lines = [
    `${start.model} on ${start.dataset}, ${inThousands(start.parameters)} parameters, recipe ${start.recipeSha256.slice(0, 12)}`,
    `batch ${start.batchSize} in ${start.shardsPerStep} shards, ${inThousands(start.stepsPerEpoch)} steps an epoch, steps ${inThousands(from)} to ${inThousands(start.lastStep)}`,
    `${threads}, kernels ${start.kernels} (${start.kernelsReason})`,
    `${asBytes(start.arenaBytes)} a thread, ${asBytes(start.packedBytes + start.storeBytes)} shared`,
  ];
  if (start.resumedFrom !== null) lines.push(`resumed from ${start.resumedFrom}`);
  return lines;
}

/** The bar after a step. */
export function stepBar(start: StartEvent, step: StepEvent): BarState {
  const epochs = Math.ceil(start.lastStep / Math.max(1, start.stepsPerEpoch));
  return {
    label: `epoch ${step.epoch}/${epochs}`,
    done: step.step,
    total: start.lastStep,
    parts: [
      { text: `step ${step.step}/${start.lastStep}`, rank: 1 },
      { text: `${asRate(step.imagesPerSecond)} images/s`, rank: 2 },
      { text: `loss ${asLoss(step.loss)}`, rank: 0 },
      { text: `accuracy ${inPercent(step.accuracy)}`, rank: 4 },
      { text: `${asDuration(step.secondsLeft)} left`, rank: 3 },
    ],
  };
}

/** The same as a line of a log. */
export function stepLine(start: StartEvent, step: StepEvent): string {
  return [
    `epoch ${step.epoch}`,
    `step ${step.step}/${start.lastStep}`,
    `loss ${asLoss(step.loss)}`,
    `accuracy ${inPercent(step.accuracy)}`,
    `${asRate(step.imagesPerSecond)} images/s`,
    `${asDuration(step.secondsLeft)} left`,
  ].join('  ');
}

/** The line for an event that happens now and then; null for those that have a place of their own. */
export function eventLine(event: RunEvent): string | null {
  switch (event.type) {
    case 'evaluation':
      return `epoch ${event.epoch}, step ${event.step}: test accuracy ${inPercent(event.accuracy)}, test loss ${asLoss(event.loss)}`;
    case 'checkpoint':
      return `checkpoint of step ${event.step}: ${event.path}`;
    case 'rank-lost':
      return `step ${event.step}: a thread was lost${event.shard === null ? '' : ` with shard ${event.shard}`}: ${event.reason}`;
    case 'notice':
      return event.text;
    case 'baseline':
      return `one thread alone: ${asRate(event.imagesPerSecond)} images/s over ${event.steps} steps`;
    case 'listening':
      return `listening on ${event.url} (${event.reason}); other machines join with:\n  ${event.join}`;
    case 'waiting':
      return event.reason;
    case 'node-joined':
      return `node ${event.node} (${event.name}, ${event.ranks} threads) joined from ${event.address}`;
    case 'node-left':
      return `node ${event.node} (${event.name}) left: ${event.code === null ? '' : `${event.code}: `}${event.reason}`;
    case 'node-refused':
      return `refused ${event.address}: ${event.code}: ${event.reason}`;
    default:
      return null;
  }
}

/** The figures a run ends with. */
export function resultTable(result: ResultEvent): string {
  const table = new Table({
    style: { head: [], border: [] },
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  });
  const steps = `${inThousands(result.steps)} steps, ${inThousands(result.samples)} samples in ${asDuration(result.seconds)}`;
  const rows: [string, string][] = [
    [result.interrupted ? 'interrupted after' : 'done', steps],
    ['test accuracy', inPercent(result.testAccuracy)],
    ['train accuracy', inPercent(result.trainAccuracy)],
    ['train loss', asLoss(result.loss)],
    ['images/s', speedText(result)],
    ['weights SHA-256', result.weightsSha256],
    ['recipe SHA-256', result.recipeSha256],
    ['checkpoint', result.checkpoint ?? '-'],
  ];
  table.push(...rows);
  return table.toString();
}

function speedText(result: ResultEvent): string {
  const threads = result.threads === 1 ? '1 thread' : `${result.threads} threads`;
  const base = `${asRate(result.imagesPerSecond)} on ${threads}`;
  if (result.baselineImagesPerSecond === null || result.speedup === null) return base;
  return `${base}, ${asRate(result.baselineImagesPerSecond)} on one alone: ${result.speedup.toFixed(2)} times as fast`;
}

/** How to go on after an interruption; null when the run is complete or nothing was saved. */
export function resumeHint(result: ResultEvent): string | null {
  if (!result.interrupted || result.checkpoint === null) return null;
  return `Go on with: lockstep train --resume ${shellWord(result.checkpoint)}`;
}

/** A path that can be pasted into a shell. */
export function shellWord(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
