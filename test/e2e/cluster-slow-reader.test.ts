/** A node that joins and then reads nothing more: dropped by its reason, at no cost to the run or to the memory. */
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { freePort, residentBytes, startCoordinator, startNode, trainAlone } from '../helpers/cluster.ts';
import { FakeNode } from '../helpers/fake-node.ts';
import { endLeftovers } from '../helpers/lockstep-process.ts';

// 3.4 MB of weights a step: what the network itself takes in is full after a few steps.
const shape = ['--model', 'mlp', '--dataset', 'synthetic', '--batch-size', '2', '--shards', '1'];
// The rate of learning is constant, so a run that is ended at a step has the bits of one that was to end there.
const recipe = [...shape, '--steps', '100000'];
const seconds = 90;
const megabyte = 2 ** 20;

test.afterEach.always(endLeftovers);

test.serial('who does not read is dropped after five silences, and nothing piles up for it', (t) =>
  withFolder(async (folder) => {
    const port = await freePort();
    const out = join(folder, 'run');
    const flags = ['--heartbeat-seconds', '2', '--checkpoint-seconds', '1000'];
    const coordinator = startCoordinator({ folder, recipe, port, threads: 0, minNodes: 1, out, flags });
    const start = await coordinator.waitFor('start', ({ type }) => type === 'start', seconds);
    const weightBytes = 4 * Number(start['parameters']);
    startNode({ folder, name: 'honest', port });
    await coordinator.waitFor('step 5', ({ type, step }) => type === 'step' && step === 5, seconds);

    const fake = new FakeNode(port);
    await fake.open();
    await fake.join(1e-6, { name: 'deaf' });
    // Its heartbeats go on: only that it does not read can give it away.
    fake.beat(200);
    await fake.hear('weights');
    const before = await residentBytes(coordinator.pid);
    const joinedAt = Number(coordinator.last('step')?.['step']);
    const deafSince = performance.now();
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
    // Five silences on the coordinator's clock. This one may start later: what it had heard up to then need not be all
    // that the coordinator had handed to the network.
    const stalled = /reads too slowly: nothing went out for (\d+) ms/.exec(String(left['reason']))?.[1];
    t.true(Number(stalled) >= 10_000, String(left['reason']));
    const waited = performance.now() - deafSince;
    t.true(waited > 5000, `dropped after ${waited} ms`);
    const stepsMeanwhile = Number(left['step']) - joinedAt;
    t.true(stepsMeanwhile > 10, `the run stood still: ${stepsMeanwhile} steps`);
    // Kept for it: what the socket holds and a step or two of weights; not one vector for each step. What has been
    // sent to the others lies about until the next collection (worker/node/garbage.ts).
    const piled = stepsMeanwhile * weightBytes;
    const garbage = 64 * megabyte;
    t.true(piled > 1.2 * garbage, `only ${piled} bytes were to be sent: the test shows nothing`);
    const grown = peak.bytes - before;
    t.true(grown < garbage + 0.1 * piled, `${grown} bytes more, ${piled} were to be sent`);

    const { step } = coordinator.last('step') as { step?: number };
    const later = (event: { type: string; step?: unknown }) =>
      event.type === 'step' && Number(event.step) > Number(step) + 5;
    await coordinator.waitFor('further steps', later, seconds);
    await coordinator.stop('SIGINT');
    const { steps, weightsSha256 } = coordinator.last('result') as { steps?: number; weightsSha256?: string };
    const alone = await trainAlone([...shape, '--steps', String(steps)], folder, 1);
    t.is(weightsSha256, alone.weightsSha256);
    t.is(coordinator.events.filter(({ type }) => type === 'node-left').length, 1);
  }),
);
