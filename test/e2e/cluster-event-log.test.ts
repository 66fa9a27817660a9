/** `events.jsonl`: what is shown is kept, over the end of one process and the beginning of the next. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import {
  endless,
  loggedEvents,
  portOf,
  reached,
  resultOf,
  startCoordinator,
  startNode,
  testToken,
} from '../helpers/cluster.ts';
import { endLeftovers, type JsonLine } from '../helpers/lockstep-process.ts';
import { withoutTime } from '../helpers/run-events.ts';
import { TcpProxy } from '../helpers/tcp-proxy.ts';

const shape = ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '32', '--shards', '8'];
const seconds = 60;

test.afterEach.always(endLeftovers);

test.serial(
  'the log holds what is shown: joined, assigned, stolen, left, and the resumed run behind it',
  (t) =>
    withFolder(async (folder) => {
      const out = join(folder, 'run');
      const options = { folder, threads: 0, out, flags: ['--checkpoint-every', '10'] };
      const first = startCoordinator({ ...options, recipe: [...shape, ...endless], minNodes: 2 });
      // Nodes find the second coordinator where they found the first one, whatever port it has.
      let port = await portOf(first);
      const door = await TcpProxy.open(() => port);
      t.teardown(() => door.close());
      const lost = startNode({ folder, name: 'lost', port: door.port });
      startNode({ folder, name: 'kept', port: door.port });
      const step = (number: number) => (event: JsonLine) =>
        event.type === 'step' && Number(event['step']) >= number;
      await first.waitFor('step 10', step(10), seconds);
      // It holds shards that will not come: the other one takes them over.
      lost.kill('SIGSTOP');
      await first.waitFor('the theft', ({ type, to }) => type === 'stolen' && to === 'kept', seconds);
      lost.kill('SIGKILL');
      await first.waitFor('the loss', ({ type }) => type === 'node-left', seconds);
      await first.waitFor('more steps', step(reached(first) + 15), seconds);
      first.kill('SIGKILL');
      await first.ended;
      const recipe = [...shape, '--steps', String(reached(first) + 20)];
      const second = startCoordinator({ ...options, recipe, name: 'again', minNodes: 1, resume: true });
      port = await portOf(second);
      await second.ended;
      resultOf(second);

      const text = await readFile(join(out, 'events.jsonl'), 'utf8');
      t.false(text.includes(testToken));
      const lines = await loggedEvents(out);
      const logged = lines.map(withoutTime);
      // A killed process may have written down an event or two that it could not show any more.
      const between = logged.length - first.events.length - second.events.length;
      t.true(between >= 0 && between <= 5, `${between} events were only logged`);
      t.deepEqual(logged.slice(0, first.events.length), first.events);
      t.deepEqual(logged.slice(logged.length - second.events.length), second.events);

      const types = ['listening', 'start', 'waiting', 'node-joined', 'assigned', 'stolen', 'node-left'];
      for (const type of [...types, 'step', 'checkpoint', 'result'])
        t.true(
          logged.some((event) => event['type'] === type),
          type,
        );
      for (const type of ['listening', 'start'])
        t.is(logged.filter((event) => event['type'] === type).length, 2, type);
      const times = lines.map(({ at: time }) => Date.parse(time));
      t.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      );
      // The decisions are there with their reasons.
      for (const event of logged)
        if (['assigned', 'stolen', 'node-left', 'waiting', 'decision'].includes(String(event['type'])))
          t.true(String(event['reason']).length > 5, String(event['type']));
    }),
);

test.serial(
  'a resume with nothing to resume, and Ctrl-C: both notices are in the log as they were shown',
  (t) =>
    withFolder(async (folder) => {
      const out = join(folder, 'run');
      const recipe = [...shape, ...endless];
      const coordinator = startCoordinator({ folder, recipe, threads: 1, minNodes: 0, out, resume: true });
      await coordinator.waitFor('step 3', ({ type, step }) => type === 'step' && Number(step) >= 3, seconds);
      const { code } = await coordinator.stop('SIGINT');
      t.is(code, 130);
      const logged = (await loggedEvents(out)).map(withoutTime);
      t.deepEqual(logged, coordinator.events as Record<string, unknown>[]);
      const notices = logged.filter(({ type }) => type === 'notice').map((event) => String(event['text']));
      t.true(
        notices.some((notice) => notice.startsWith('Nothing to resume in')),
        notices.join(),
      );
      t.true(
        notices.some((notice) => notice.startsWith('SIGINT: ')),
        notices.join(),
      );
    }),
);
