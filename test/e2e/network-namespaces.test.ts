/** Two hosts with nothing in common but a cable train together; on a machine that allows no such hosts, says why. */
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { resultOf, startCoordinator, startNode, trainAlone } from '../helpers/cluster.ts';
import { disturb, makeTwoHosts } from '../helpers/network-namespaces.ts';

const recipe = [
  '--model',
  'resnet8',
  '--dataset',
  'synthetic',
  '--batch-size',
  '36',
  '--shards',
  '8',
  '--steps',
  '15',
];
const port = 7070;

/** Seconds for a step of the whole; generous. */
const patience = 180;

test.serial('two hosts in network namespaces give the weights of one', async (t) => {
  t.timeout(10 * 60_000);
  const made = await makeTwoHosts();
  if ('command' in made) {
    // Passes only by showing that this machine refuses, and what.
    t.log(`no network namespaces here: '${made.command}' failed: ${made.message}`);
    t.not(made.message, '');
    return;
  }
  const { hosts, close } = made;
  const [one, two] = hosts;
  try {
    await withFolder(async (folder) => {
      const reference = await trainAlone(recipe, folder);
      for (const host of hosts) {
        const refusal = await disturb(host, '10ms', '0.5%');
        if (refusal === null) t.log(`${host.namespace}: 10 ms of delay, 0.5 % of the packets lost`);
        else t.log(`an undisturbed cable: '${refusal.command}' failed: ${refusal.message}`);
      }
      const coordinator = startCoordinator({
        folder,
        recipe,
        port,
        // The far host does it all: it would have nothing to do if it seemed slow while its speed was measured.
        threads: 0,
        minNodes: 1,
        out: join(folder, 'run'),
        host: one.address,
        prefix: one.prefix,
      });
      try {
        const listening = await coordinator.waitFor(
          'listening',
          ({ type }) => type === 'listening',
          patience,
        );
        t.log(String(listening['join']));
        const node = startNode({ folder, name: 'far', port, host: one.address, prefix: two.prefix });
        try {
          await coordinator.until('the end', () => coordinator.last('result') !== undefined, patience);
          await coordinator.ended;
          t.is(resultOf(coordinator)['weightsSha256'], reference.weightsSha256);
          const joined = coordinator.last('node-joined');
          t.is(String(joined?.['address']).split(':')[0], two.address);
          t.is(joined?.['ranks'], 1);
          await node.until('its end', () => node.last('result') !== undefined, patience);
          t.true(
            Number(node.last('result')?.['shards']) >= 8 * 15,
            'the other host did not compute everything',
          );
        } finally {
          await node.stop('SIGKILL');
        }
      } finally {
        await coordinator.stop('SIGKILL');
      }
    });
  } finally {
    await close();
  }
});
