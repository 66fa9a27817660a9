/** A node that joins and then reads nothing more: dropped by its reason, at no cost to the run or to the memory. */
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import {
  endless,
  goesOn,
  interrupt,
  loggedEvents,
  portOf,
  reached,
  residentBytes,
  startCoordinator,
  startNode,
  trainAlone,
  untilStep,
} from '../helpers/cluster.ts';
import { FakeNode } from '../helpers/fake-node.ts';
import { endLeftovers, type JsonLine } from '../helpers/lockstep-process.ts';

// 3.4 MB of weights a step: what the network itself takes in is full after a few steps.
const shape = ['--model', 'mlp', '--dataset', 'synthetic', '--batch-size', '2', '--shards', '1'];
const recipe = [...shape, ...endless];
const seconds = 120;
/** Longer than any process of this test may stand still: the honest node is not to be lost. */
const silence = 4;
const megabyte = 2 ** 20;

test.afterEach.always(endLeftovers);

/** Milliseconds between two moments of a run by the coordinator's own clock, as its log has them. */
async function between(out: string, ...moments: ((event: JsonLine) => boolean)[]): Promise<number> {
  const events = await loggedEvents(out);
  const [from = Number.NaN, to = Number.NaN] = moments.map((isIt) =>
    Date.parse(String(events.find(isIt)?.at)),
  );
  return to - from;
}

test.serial('who does not read is dropped after five silences, and nothing piles up for it', (t) =>
  withFolder(async (folder) => {
    const out = join(folder, 'run');
    const flags = ['--checkpoint-seconds', '1000'];
    const options = { folder, recipe, threads: 0, minNodes: 1, out, flags, heartbeatSeconds: silence };
    const coordinator = startCoordinator(options);
    const port = await portOf(coordinator);
    const start = await coordinator.waitFor('start', ({ type }) => type === 'start', seconds);
    const weightBytes = 4 * Number(start['parameters']);
    startNode({ folder, name: 'honest', port });
    await untilStep(coordinator, 5, seconds);

    const fake = await FakeNode.open(port);
    await fake.join(1e-6, { name: 'deaf' });
    // Its heartbeats go on: only that it does not read can give it away.
    fake.beat(200);
    await fake.hear('weights');
    const before = await residentBytes(coordinator.pid);
    const joinedAt = reached(coordinator);
    fake.stopReading();
    const peak = { bytes: 0 };
    const watch = setInterval(() => {
      void residentBytes(coordinator.pid).then(
        (bytes) => (peak.bytes = Math.max(peak.bytes, bytes)),
        () => {},
      );
    }, 50);
    const left = await coordinator
      .waitFor('its end', ({ type, name }) => type === 'node-left' && name === 'deaf', seconds)
      .finally(() => clearInterval(watch));
    t.is(left['code'], 'FLOOD');
    // Five silences by the coordinator's clock: this process may have stood still before it stopped reading, or after.
    const stalled = /reads too slowly: nothing went out for (\d+) ms/.exec(String(left['reason']))?.[1];
    t.true(Number(stalled) >= 5000 * silence, String(left['reason']));
    const ofDeaf = (type: string) => (event: JsonLine) => event.type === type && event['name'] === 'deaf';
    const here = await between(out, ofDeaf('node-joined'), ofDeaf('node-left'));
    // The log has another clock, which may be set a little in between.
    t.true(here > 4900 * silence, `dropped ${here} ms after it had come`);
    const stepsMeanwhile = Number(left['step']) - joinedAt;
    t.true(stepsMeanwhile > 10, `the run stood still: ${stepsMeanwhile} steps`);
    // Kept for it: what the socket holds and a step or two of weights; not one vector for each step. What has been
    // sent to the others lies about until the next collection (worker/node/garbage.ts).
    const piled = stepsMeanwhile * weightBytes;
    const garbage = 64 * megabyte;
    t.true(piled > 1.2 * garbage, `only ${piled} bytes were to be sent: the test shows nothing`);
    const grown = peak.bytes - before;
    t.true(grown < garbage + 0.1 * piled, `${grown} bytes more, ${piled} were to be sent`);

    await goesOn(coordinator, 5);
    const { steps, weightsSha256 } = await interrupt(coordinator);
    const alone = await trainAlone([...shape, '--steps', String(steps)], folder, 1);
    t.is(weightsSha256, alone.weightsSha256);
    t.is(coordinator.events.filter(({ type }) => type === 'node-left').length, 1);
  }),
);
