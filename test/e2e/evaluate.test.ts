/** `lockstep evaluate` says of a checkpoint what the run that wrote it said. */

import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { lockstep } from '../helpers/command-line.ts';
import { trainEvents } from '../helpers/training-process.ts';

interface Evaluation {
  readonly accuracy: number;
  readonly loss: number;
  readonly samples: number;
  readonly confusion: readonly (readonly number[])[];
  readonly classes: readonly { readonly name: string; readonly recall: number | null }[];
  readonly weightsSha256: string;
  readonly checkpoint: string;
}

async function evaluate(path: string, ...flags: string[]): Promise<Evaluation> {
  const { code, stderr, objects } = await lockstep(['evaluate', path, '--json', ...flags]);
  if (code !== 0) throw new Error(stderr);
  return objects().at(-1) as unknown as Evaluation;
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

test.serial('accuracy and loss of train and evaluate agree, for any threads and any way to name it', (t) =>
  withFolder(async (folder) => {
    const run = join(folder, 'run');
    const recipe = ['--model', 'resnet8', '--dataset', 'synthetic', '--steps', '12', '--seed', '3'];
    const events = await trainEvents([...recipe, '--threads', '2', '--no-baseline', '--out', run]);
    const result = events.at(-1);
    const told = events.find((event) => event.type === 'evaluation');
    if (result?.type !== 'result' || told?.type !== 'evaluation' || result.checkpoint === null) {
      return t.fail('the run did not evaluate');
    }
    t.is(result.testAccuracy, told.accuracy);

    const one = await evaluate(run, '--threads', '1');
    t.is(one.accuracy, told.accuracy);
    t.is(one.loss, told.loss);
    t.is(one.weightsSha256, result.weightsSha256);

    t.is(one.samples, 512);
    t.is(one.confusion.length, 10);
    t.is(sum(one.confusion.flat()), one.samples);
    const right = one.confusion.map((row, index) => row[index] ?? 0);
    t.is(sum(right) / one.samples, one.accuracy);
    for (const [index, row] of one.confusion.entries()) {
      t.is(one.classes[index]?.recall, (right[index] ?? 0) / sum(row));
    }

    const { seconds: _, ...expected } = one as Evaluation & { seconds: number };
    const three = await evaluate(join(result.checkpoint, 'manifest.json'), '--threads', '3');
    t.like(three, expected);
    // The same images under another name for the set would do; images of another shape do not fit.
    const { code, objects } = await lockstep(['evaluate', run, '--dataset', 'synthetic-mnist', '--json']);
    t.is(code, 2);
    t.like(objects().at(-1), { type: 'error', code: 'MODEL_INVALID' });
  }),
);
