import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventLog, eventLogName } from '@lockstep/coordinator/metrics/event-log.ts';
import type { RunEvent } from '@lockstep/coordinator/metrics/events.ts';
import test from 'ava';
import { withFolder } from '../../helpers/checkpoint-sample.ts';
import { resultEvent, startEvent, stepEvent, withoutTime } from '../../helpers/run-events.ts';

const nobody = (): never => {
  throw new Error('nothing was to be noticed');
};

async function linesOf(path: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(path, 'utf8');
  if (!text.endsWith('\n')) throw new Error(`${path} ends in the middle of a line`);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('every event in its order, with its time; progress of an evaluation is none of them', (t) =>
  withFolder(async (folder) => {
    const log = eventLog(join(folder, 'run'), nobody);
    const events: RunEvent[] = [startEvent, stepEvent(1), stepEvent(2), resultEvent];
    for (const event of events) {
      log(event);
      log({ type: 'evaluation-progress', done: 1, total: 2 });
    }
    const lines = await linesOf(join(folder, 'run', eventLogName));
    t.deepEqual(
      lines.map(withoutTime),
      events.map((event) => ({ ...event })),
    );
    for (const { at } of lines) t.true(Math.abs(Date.parse(String(at)) - Date.now()) < 60_000);
  }));

test('a log that is there is gone on with, and counts for the limit', (t) =>
  withFolder(async (folder) => {
    const size = Buffer.byteLength(JSON.stringify({ at: new Date().toISOString(), ...stepEvent(1) })) + 1;
    for (const first of [1, 4]) {
      const log = eventLog(folder, nobody, 5.5 * size);
      for (let step = first; step < first + 3; step++) log(stepEvent(step));
    }
    const steps = async (name: string) => (await linesOf(join(folder, name))).map(({ step }) => step);
    t.deepEqual(await steps('events.1.jsonl'), [1, 2, 3, 4, 5]);
    t.deepEqual(await steps(eventLogName), [6]);
  }));

test('however long a run is, two files of the limit are all it keeps: the newest events', (t) =>
  withFolder(async (folder) => {
    const limit = 5000;
    const log = eventLog(folder, nobody, limit);
    for (let step = 1; step <= 200; step++) log(stepEvent(step));
    t.deepEqual((await readdir(folder)).toSorted(), ['events.1.jsonl', eventLogName]);
    const files = ['events.1.jsonl', eventLogName].map((name) => join(folder, name));
    for (const file of files) t.true((await stat(file)).size <= limit);
    const lines = (await Promise.all(files.map(linesOf))).flat();
    const steps = lines.map(({ step }) => Number(step));
    t.deepEqual(
      steps,
      Array.from(steps.keys(), (i) => 201 - steps.length + i),
    );
    t.true(steps.length > 15);
  }));

test('the limit is of bytes, and not of characters', (t) =>
  withFolder(async (folder) => {
    const limit = 5000;
    const log = eventLog(folder, nobody, limit);
    for (let i = 0; i < 100; i++) log({ type: 'notice', text: '\u65e5\u672c'.repeat(40) });
    t.true((await stat(join(folder, eventLogName))).size <= limit);
    t.true((await stat(join(folder, 'events.1.jsonl'))).size <= limit);
  }));

test('a log that cannot be written is given up with one notice', (t) =>
  withFolder(async (folder) => {
    const path = join(folder, eventLogName);
    await mkdir(path);
    const notices: RunEvent[] = [];
    const log = eventLog(folder, (event) => notices.push(event));
    for (let step = 1; step < 5; step++) log(stepEvent(step));
    t.is(notices.length, 1);
    t.regex(JSON.stringify(notices), /events\.jsonl cannot be written: EISDIR/);
    const file = join(folder, 'file');
    await writeFile(file, '');
    const other = eventLog(join(file, 'run'), (event) => notices.push(event));
    for (let step = 1; step < 5; step++) other(stepEvent(step));
    t.is(notices.length, 2);
  }));

test('a generated token is not written down', (t) =>
  withFolder(async (folder) => {
    const log = eventLog(folder, nobody);
    const command = 'lockstep join ws://10.0.0.1:7070 --token c2VjcmV0LXNlY3JldA';
    log({ type: 'listening', url: 'ws://10.0.0.1:7070', join: command, reason: 'other machines' });
    const text = await readFile(join(folder, eventLogName), 'utf8');
    t.false(text.includes('c2VjcmV0'));
    t.true(text.includes('--token ...'));
  }));
