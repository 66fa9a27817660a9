/** Nodes of one machine have one name; they still are several, and each is called something else. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { portOf, resultOf, startCoordinator, testToken } from '../helpers/cluster.ts';
import { LockstepProcess } from '../helpers/lockstep-process.ts';

// In batch-norm mode `sync` no speed is measured before the first step: each node has shards in it, come what may.
const recipe = [
  ['--model', 'resnet8', '--batch-norm', 'sync', '--dataset', 'synthetic'],
  ['--batch-size', '12', '--shards', '6', '--steps', '5'],
].flat();

test.serial('two nodes without a name of their own are counted and called as two', (t) =>
  withFolder(async (folder) => {
    const out = join(folder, 'run');
    const coordinator = startCoordinator({ folder, recipe, threads: 0, minNodes: 2, out });
    const port = await portOf(coordinator);
    const nodes = ['one', 'two'].map(
      (name) =>
        new LockstepProcess({
          name,
          folder,
          args: ['join', `ws://127.0.0.1:${port}`, '--json', '--threads', '1'],
          env: { LOCKSTEP_TOKEN: testToken, LOCKSTEP_CACHE: join(folder, 'cache') },
        }),
    );
    await coordinator.ended;
    await Promise.all(nodes.map(({ ended }) => ended));
    t.is(resultOf(coordinator)['nodes'], 2);
    const joined = coordinator.events.filter(({ type }) => type === 'node-joined');
    t.deepEqual(joined.map(({ name }) => name).toSorted(), [hostname(), `${hostname()}-2`]);
  }),
);
