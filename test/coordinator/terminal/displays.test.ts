import { barLine, drawBar } from '@lockstep/coordinator/terminal/bar-line.ts';
import { dataDisplay } from '@lockstep/coordinator/terminal/data-display.ts';
import { reportError } from '@lockstep/coordinator/terminal/error-report.ts';
import {
  type EvaluationFigures,
  evaluationText,
  worstConfusions,
} from '@lockstep/coordinator/terminal/evaluation-text.ts';
import {
  asBytes,
  asDuration,
  asRate,
  inPercent,
  inThousands,
} from '@lockstep/coordinator/terminal/format.ts';
import { jsonDisplay } from '@lockstep/coordinator/terminal/json-lines.ts';
import { runDisplay } from '@lockstep/coordinator/terminal/run-display.ts';
import { resultTable, resumeHint, shellWord, stepBar } from '@lockstep/coordinator/terminal/run-text.ts';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import test from 'ava';
import fc from 'fast-check';
import { keptOutput, resultEvent, startEvent, stepEvent } from '../../helpers/run-events.ts';

test('numbers as people read them', (t) => {
  t.deepEqual([0, 999, 1000, 1_234_567].map(inThousands), ['0', '999', '1 000', '1 234 567']);
  t.deepEqual([0.141, 53.21, 431.3, 5321.4, null].map(asRate), ['0.14', '53.2', '431', '5 321', '-']);
  t.deepEqual([0, 9.94, 59.4, 59.6, 185, 3599, 7620, Number.NaN].map(asDuration), [
    '0.0 s',
    '9.9 s',
    '59 s',
    '1 min 00 s',
    '3 min 05 s',
    '59 min 59 s',
    '2 h 07 min',
    '-',
  ]);
  t.deepEqual([0, 1023, 1536, 37e6, 5e9].map(asBytes), ['0 B', '1023 B', '1.5 KiB', '35.3 MiB', '4.7 GiB']);
  t.deepEqual([0.87521, 1, null].map(inPercent), ['87.52 %', '100.00 %', '-']);
});

test('a bar always has its width, a line never reaches the edge', (t) => {
  const state = stepBar(startEvent, stepEvent(41));
  fc.assert(
    fc.property(fc.double({ min: -1, max: 2 }), fc.integer({ min: 2, max: 300 }), (share, columns) => {
      return (
        drawBar(share, 20).length === 20 && barLine(state.label, share, state.parts, columns).length < columns
      );
    }),
    { verbose: true },
  );
  t.pass();
});

test('when the terminal is narrow, the loss stays longest', (t) => {
  const { label, parts } = stepBar(startEvent, stepEvent(41));
  const wide = barLine(label, 0.5, parts, 140);
  for (const text of ['epoch 2/2', 'step 41/80', '1 235 images/s', 'accuracy 50.00 %', '39 s left']) {
    t.true(wide.includes(text), text);
  }
  const narrow = barLine(label, 0.5, parts, 40);
  t.regex(narrow, /loss/);
  t.notRegex(narrow, /accuracy|images/);
});

test('a log has a line every five seconds and one for the last step', (t) => {
  const output = keptOutput();
  let now = 0;
  const { listen } = runDisplay(output, () => now);
  listen(startEvent);
  for (let step = 1; step <= 80; step++) {
    now += 1000;
    listen(stepEvent(step));
  }
  listen({ type: 'notice', text: 'hello' });
  listen(resultEvent);
  const lines = output.text().split('\n');
  t.is(lines.filter((line) => line.startsWith('epoch ')).length, 17);
  t.true(lines.some((line) => line.includes('step 80/80')));
  t.true(lines.includes('hello'));
});

test('the closing table holds every figure a user compares', (t) => {
  const table = resultTable(resultEvent);
  for (const text of [
    '55.00 %',
    '60.00 %',
    '1.2000',
    '1 235 on 2 threads, 617 on one alone: 2.00 times as fast',
  ]) {
    t.true(table.includes(text), text);
  }
  for (const text of [
    resultEvent.weightsSha256,
    resultEvent.recipeSha256,
    'checkpoint-00000080',
    '3 min 05 s',
  ]) {
    t.true(table.includes(text), text);
  }
  t.true(table.split('\n').every((line) => line.length <= 100));
});

test('an interrupted run says how to go on, with a path a shell understands', (t) => {
  t.is(resumeHint(resultEvent), null);
  t.is(
    resumeHint({ ...resultEvent, interrupted: true }),
    "Go on with: lockstep train --resume 'runs/a b/checkpoint-00000080'",
  );
  t.is(shellWord("it's"), String.raw`'it'\''s'`);
});

test('json: one object a line, and no number that JSON lacks', (t) => {
  const output = keptOutput();
  const { listen } = jsonDisplay(output);
  listen(startEvent);
  listen({ ...stepEvent(1), loss: Number.NaN } as never);
  listen(resultEvent);
  const objects = output
    .text()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.deepEqual(
    objects.map((object) => object['type']),
    ['start', 'step', 'result'],
  );
  t.is(objects[1]?.['loss'], null);
});

test('a download without a terminal: a line every two seconds and one a phase', (t) => {
  const output = keptOutput();
  let now = 0;
  const { onProgress, end } = dataDisplay('mnist', output, false, () => now);
  for (let i = 1; i <= 10; i++) {
    now += 500;
    onProgress({ phase: 'download', doneBytes: i * 1_048_576, totalBytes: 10_485_760, file: 'x' });
  }
  onProgress({ phase: 'verify', doneBytes: 1, totalBytes: null, file: 'x' });
  end();
  const lines = output.text().trimEnd().split('\n');
  t.is(lines.length, 4);
  t.regex(lines[1] ?? '', /mnist: downloading {2}5\.0 MiB of 10\.0 MiB {2}2\.5 MiB\/s/);
});

test('errors: code and message for people, one object for programs, the exit code of the code', (t) => {
  const output = keptOutput();
  const errors = keptOutput();
  const error = new LockstepError('DISK_FULL', 'No room.', 'Make some.', { path: 'x' });
  t.is(reportError(error, true, output, errors), 1);
  t.is(errors.text(), 'error DISK_FULL: No room. Make some.\n');
  t.deepEqual(JSON.parse(output.text()), {
    type: 'error',
    code: 'DISK_FULL',
    message: 'No room. Make some.',
    advice: 'Make some.',
    values: { path: 'x' },
  });
});

/** A report over `count` classes in which class 0 is often taken for class 1. */
function report(count: number): EvaluationFigures {
  const names = Array.from({ length: count }, (_, i) => `class number ${i}`);
  return {
    checkpoint: 'c',
    dataset: 'd',
    samples: 100,
    loss: 1,
    accuracy: 0.5,
    confusion: names.map((_, truth) =>
      names.map((__, guess) => (truth === guess ? 90 : truth === 0 && guess === 1 ? 7 : 0)),
    ),
    classes: names.map((name) => ({ name, precision: null, recall: 0.9, f1: null, support: 97 })),
    weightsSha256: 'ab'.repeat(32),
    seconds: 1,
  };
}

test('the confusion matrix is shown where it fits, otherwise the worst mistakes', (t) => {
  t.true(evaluationText(report(10), 80).includes('true \\ pred.'));
  t.true(evaluationText(report(100), 80).includes('most frequent mistakes'));
  t.deepEqual(worstConfusions(report(10), 5), [
    { truth: 'class number 0', predicted: 'class number 1', count: 7 },
  ]);
});
