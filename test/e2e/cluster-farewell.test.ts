/** The end of a run, as a node hears of it that stands still just then. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { endless, portOf, resultOf, startCoordinator, startNode, untilStep } from '../helpers/cluster.ts';
import { endLeftovers } from '../helpers/lockstep-process.ts';

const seconds = 120;

test.afterEach.always(endLeftovers);

test.serial(
  'a node that was stopped before the end, with weights on their way to it, ends as the others do',
  (t) =>
    withFolder(async (folder) => {
      // 45 MB of weights a step: more than the system keeps for a reader that does not read.
      const shape = ['--model', 'resnet18', '--dataset', 'synthetic', '--batch-size', '4', '--shards', '4'];
      const recipe = [...shape, '--steps', '12'];
      const options = { threads: 1, minNodes: 1, out: join(folder, 'run'), heartbeatSeconds: 60 };
      const coordinator = startCoordinator({ folder, recipe, ...options });
      const node = startNode({ folder, name: 'sleeper', port: await portOf(coordinator) });
      await untilStep(coordinator, 6, seconds);
      node.kill('SIGSTOP');
      // What it has in hand is overdue before long, and done again.
      await untilStep(coordinator, 12, seconds);
      await sleep(2000);
      t.is(coordinator.end, null, 'it did not wait for the node');
      node.kill('SIGCONT');
      t.is((await coordinator.ended).code, 0);
      t.is(resultOf(coordinator)['steps'], 12);
      t.is((await node.ended).code, 0);
      t.is(node.last('result')?.['reason'], 'the run is over');
      t.is(node.last('result')?.['connections'], 1);
    }),
);

test.serial('one that never wakes is not waited for any longer than it may be silent', (t) =>
  withFolder(async (folder) => {
    const shape = ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '8', '--shards', '4'];
    const options = { threads: 1, minNodes: 1, out: join(folder, 'run'), heartbeatSeconds: 5 };
    const coordinator = startCoordinator({ folder, recipe: [...shape, ...endless], ...options });
    const node = startNode({ folder, name: 'sleeper', port: await portOf(coordinator) });
    await untilStep(coordinator, 100, seconds);
    node.kill('SIGSTOP');
    t.is((await coordinator.stop('SIGINT')).code, 130);
    t.is(node.end, null);
  }),
);
