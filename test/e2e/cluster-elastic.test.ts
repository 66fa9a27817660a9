/** Nodes that come, go, die and hang: the run ends with the bits of one that was left alone. */
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import {
  freePort,
  pause,
  type Reference,
  resultOf,
  startCoordinator,
  startNode,
  trainAlone,
} from '../helpers/cluster.ts';
import { endLeftovers, type LockstepProcess } from '../helpers/lockstep-process.ts';

const recipe = [
  '--model',
  'resnet20',
  '--dataset',
  'synthetic',
  '--batch-size',
  '16',
  '--shards',
  '8',
  '--steps',
  '60',
];
const seconds = 90;

test.afterEach.always(endLeftovers);

const reference = new Map<string, Promise<Reference>>();

function alone(folder: string): Promise<Reference> {
  const known = reference.get('alone') ?? trainAlone(recipe, folder);
  reference.set('alone', known);
  return known;
}

async function start(folder: string, minNodes: number, flags: readonly string[] = [], threads = 0) {
  const port = await freePort();
  const out = join(folder, 'run');
  const coordinator = startCoordinator({ folder, recipe, port, threads, minNodes, out, flags });
  await coordinator.waitFor('port', ({ type }) => type === 'listening', seconds);
  return { port, out, coordinator };
}

function step(coordinator: LockstepProcess, number: number) {
  return coordinator.waitFor(
    `step ${number}`,
    ({ type, step: at }) => type === 'step' && at === number,
    seconds,
  );
}

test.serial('kill -9 of one node, down to the last one: a commit within the limit and 1.5 steps', (t) =>
  withFolder(async (folder) => {
    const silence = 2;
    const { port, coordinator } = await start(folder, 4, ['--heartbeat-seconds', String(silence)]);
    const nodes = [0, 1, 2, 3].map((i) => startNode({ folder, name: `n${i}`, port }));
    const kills: { readonly seconds: number; readonly median: number }[] = [];
    for (const victim of nodes.slice(0, 3)) {
      const from = Number(coordinator.last('step')?.['step'] ?? 1);
      await step(coordinator, from + 9);
      // Undisturbed, just before, with the same neighbours on the machine.
      const before = coordinator.events.filter((event) => event.type === 'step').slice(-7);
      const times = before.map((event) => Number(event['seconds'])).toSorted((a, b) => a - b);
      // In the middle of a step, and not while nobody has work.
      const { step: last } = coordinator.last('step') as { step?: number };
      const begun = performance.now();
      victim.kill('SIGKILL');
      await coordinator.waitFor(
        'its loss',
        (event) => event.type === 'node-left' && event['name'] === victim.name,
        seconds,
      );
      // One that was complete already may still be on its way here: the step behind it was begun with the lost node.
      await step(coordinator, (last ?? 0) + 2);
      kills.push({ seconds: (performance.now() - begun) / 1000, median: times[3] as number });
    }
    t.log(kills.map((kill) => `${kill.seconds.toFixed(2)} s, step ${kill.median.toFixed(2)} s`).join('; '));
    // The best of three: on a busy machine somebody else may take the processor for longer than all of this.
    t.true(kills.some((kill) => kill.seconds <= silence + 1.5 * kill.median));
    await coordinator.ended;
    t.is(resultOf(coordinator)['weightsSha256'], (await alone(folder)).weightsSha256);
    // By its closed connection, and not only by its silence.
    const lost = coordinator.events.filter(({ type, code }) => type === 'node-left' && code === null);
    for (const { name } of nodes.slice(0, 3)) t.true(lost.some((event) => event['name'] === name));
  }),
);

test.serial('a node that is stopped is noticed by its silence, comes back and goes on', (t) =>
  withFolder(async (folder) => {
    const { port, coordinator } = await start(folder, 2, ['--heartbeat-seconds', '1']);
    const [slow] = [0, 1].map((i) => startNode({ folder, name: `n${i}`, port }));
    await step(coordinator, 5);
    slow?.kill('SIGSTOP');
    const left = await coordinator.waitFor('silence', ({ type }) => type === 'node-left', seconds);
    t.is(left['code'], 'HEARTBEAT_LOST');
    slow?.kill('SIGCONT');
    await coordinator.ended;
    t.is(resultOf(coordinator)['weightsSha256'], (await alone(folder)).weightsSha256);
    t.is((await slow?.ended)?.code, 0);
  }),
);

test.serial(
  'a node joins late, another one leaves by Ctrl-C; then nobody is there until somebody comes',
  (t) =>
    withFolder(async (folder) => {
      // Long enough for three processes to start in, one after the other.
      const steps = ['--steps', '200'];
      const { port, coordinator } = await start(folder, 1, steps);
      const first = startNode({ folder, name: 'first', port });
      await step(coordinator, 5);
      const second = startNode({ folder, name: 'second', port, threads: 2 });
      await coordinator.waitFor(
        'the second',
        (e) => e.type === 'node-joined' && e['name'] === 'second',
        seconds,
      );
      await first.stop('SIGINT');
      const left = await coordinator.waitFor('the first', ({ type }) => type === 'node-left', seconds);
      t.is(left['code'], null);
      await second.stop('SIGINT');
      await coordinator.waitFor('waiting', (e) => e.type === 'waiting' && Number(e['step']) > 1, seconds);
      const third = startNode({ folder, name: 'third', port });
      await coordinator.ended;
      const undisturbed = await trainAlone([...recipe, ...steps], folder, 2);
      t.is(resultOf(coordinator)['weightsSha256'], undisturbed.weightsSha256);
      t.is((await third.ended).code, 0);
    }),
);

test.serial('a coordinator that is killed goes on with --resume, and its nodes find it again', (t) =>
  withFolder(async (folder) => {
    const flags = ['--checkpoint-every', '7'];
    const { port, out, coordinator } = await start(folder, 2, flags);
    const nodes = [0, 1].map((i) => startNode({ folder, name: `n${i}`, port }));
    await step(coordinator, 20);
    coordinator.kill('SIGKILL');
    await coordinator.ended;
    await pause(300);
    const again = startCoordinator({
      folder,
      recipe,
      port,
      out,
      flags,
      name: 'again',
      threads: 0,
      minNodes: 2,
      resume: true,
    });
    const begun = await again.waitFor('start', ({ type }) => type === 'start', seconds);
    t.true(Number(begun['fromStep']) >= 14);
    await again.ended;
    t.is(resultOf(again)['weightsSha256'], (await alone(folder)).weightsSha256);
    for (const node of nodes) t.is((await node.ended).code, 0);
  }),
);

test.serial('batch-norm over the whole batch: a node that is killed in a step, and one that comes', (t) =>
  withFolder(async (folder) => {
    const flags = ['--batch-norm', 'sync', '--steps', '25'];
    const whole = await trainAlone([...recipe, ...flags], folder);
    const { port, coordinator } = await start(folder, 2, flags);
    const nodes = [0, 1].map((i) => startNode({ folder, name: `n${i}`, port }));
    await step(coordinator, 4);
    nodes[0]?.kill('SIGKILL');
    await coordinator.waitFor('its loss', ({ type }) => type === 'node-left', seconds);
    startNode({ folder, name: 'late', port, threads: 2 });
    await coordinator.ended;
    t.is(resultOf(coordinator)['weightsSha256'], whole.weightsSha256);
  }),
);
