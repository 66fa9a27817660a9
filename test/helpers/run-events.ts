/** Events of a made-up run, and a place where a display can write. */

import type { ResultEvent, StartEvent, StepEvent } from '@lockstep/coordinator/metrics/events.ts';
import type { Output } from '@lockstep/coordinator/terminal/output.ts';

export const startEvent: StartEvent = {
  type: 'start',
  model: 'resnet20',
  dataset: 'cifar10',
  parameters: 269_722,
  recipeSha256: 'c5'.repeat(32),
  threads: 2,
  kernels: 'fma-wide',
  kernelsReason: 'measured',
  batchSize: 128,
  shardsPerStep: 8,
  stepsPerEpoch: 40,
  lastStep: 80,
  fromStep: 0,
  resumedFrom: null,
  arenaBytes: 37_000_000,
  packedBytes: 11_000_000,
  storeBytes: 12_000_000,
};

/** The event of one step. */
export function stepEvent(step: number): StepEvent {
  return {
    type: 'step',
    step,
    epoch: Math.ceil(step / 40),
    stepInEpoch: ((step - 1) % 40) + 1,
    samples: 128,
    loss: 2.3 / step,
    accuracy: 0.5,
    learningRate: 0.001,
    seconds: 0.1,
    imagesPerSecond: 1234.5,
    secondsLeft: 80 - step,
    reason: 'all 8 shards, all finite',
  };
}

export const resultEvent: ResultEvent = {
  type: 'result',
  steps: 80,
  epochs: 2,
  samples: 10_240,
  loss: 1.2,
  trainAccuracy: 0.6,
  testAccuracy: 0.55,
  imagesPerSecond: 1234.5,
  weightsSha256: 'ab'.repeat(32),
  recipeSha256: 'c5'.repeat(32),
  threads: 2,
  nodes: 1,
  seconds: 185,
  checkpoint: 'runs/a b/checkpoint-00000080',
  baselineImagesPerSecond: 617,
  speedup: 2.0008,
  interrupted: false,
};

/** An output that keeps what is written; no terminal. */
export function keptOutput(): Output & { readonly text: () => string } {
  let text = '';
  return {
    isTty: false,
    columns: () => 80,
    write: (more) => {
      text += more;
    },
    style: (_style, plain) => plain,
    stream: process.stdout,
    text: () => text,
  };
}

/** A line of the run's log as the event that it was. */
export function withoutTime(line: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(line).filter(([key]) => key !== 'at'));
}
